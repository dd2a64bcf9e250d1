"""The sentence on the longest operators."""

from pathlib import Path

from stepbench_reports.read.run_directory import load
from stepbench_reports.wording.operators import longest
from support import synthetic, synthetic_profile
from support.reading import flowing, printed


def test_the_longest_operators_of_a_profiled_case_are_named(tmp_path: Path) -> None:
    run = load(synthetic_profile.write_run(tmp_path / "run"))
    sentence = (
        "Longest operators of off in the trace: aten::mm in backward (50 %), aten::addmm in "
        "forward (40 %), (outside operators) in forward (10 %)."
    )
    assert longest(run) == sentence
    assert sentence in flowing(printed(run))


def test_without_a_profile_none_are_named(tmp_path: Path) -> None:
    assert longest(load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))) is None
