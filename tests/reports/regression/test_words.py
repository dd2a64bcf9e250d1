from stepbench_reports.regression import words
from stepbench_reports.regression.screening import SUITE


def test_what_cases_share_goes_into_the_column_s_head() -> None:
    cases = ["net-cpu-b4-w0-off-fp32", "net-cpu-b32-w2-off-fp32"]
    names = words.names(cases)
    assert names.common == "net-cpu-*-*-off-fp32"
    assert [names[case] for case in cases] == ["b4-w0", "b32-w2"]
    assert names[SUITE] == words.SUITE_NAME


def test_one_case_and_unlike_ones_keep_their_names() -> None:
    for cases in (["net-cpu-b4"], ["net-cpu-b4", "net-cpu-b4-acc8"]):
        names = words.names(cases)
        assert names.common == ""
        assert [names[case] for case in cases] == cases
