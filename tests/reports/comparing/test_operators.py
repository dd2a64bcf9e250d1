from pathlib import Path

import pytest

from stepbench_reports.comparing.operators import difference, find
from stepbench_reports.errors import ReportError
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from support import synthetic, synthetic_profile


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(synthetic_profile.write_run(tmp_path / "run"))


def test_what_accounts_for_a_difference_adds_up_to_it(run: Run) -> None:
    a, b = find(run, "off"), find(run, "default")
    found = difference(run, a, b)
    assert found.iloc[0]["operator"] == "aten::addmm"
    assert found.iloc[0]["difference_s"] == pytest.approx(-0.004)
    assert found["difference_s"].sum() == pytest.approx((0.014 - 0.020) / synthetic_profile.STEPS)
    assert found["a_s"].sum() == pytest.approx(0.020 / synthetic_profile.STEPS)
    assert len(difference(run, a, b, shapes=True)) == len(found) + 1
    assert found.attrs["clock"] == "host"


def test_on_a_device_it_is_the_devices_time(tmp_path: Path) -> None:
    run = load(synthetic_profile.write_run(tmp_path / "run", device_s=0.001))
    found = difference(run, find(run, "off"), find(run, "default"))
    assert found.attrs["clock"] == "device"
    assert found["a_s"].sum() == pytest.approx(0.006 / synthetic_profile.STEPS)


@pytest.mark.parametrize(
    ("word", "table"),
    [
        ("b4", "matches 2 cases"),
        ("b8-w0", "there is no such case; the closest are convnet-cpu-b4-w0"),
    ],
)
def test_a_name_that_is_not_one_cases_is_refused(word: str, table: str, run: Run) -> None:
    with pytest.raises(ReportError, match=table):
        find(run, word)


def test_a_case_that_was_not_profiled_is_refused(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))
    with pytest.raises(ReportError, match="--profile"):
        find(run, "off")


def test_a_damaged_profile_is_named_and_not_called_missing(tmp_path: Path) -> None:
    place = synthetic_profile.write_run(tmp_path / "run")
    for file in (place / "profiles").iterdir():
        file.write_text('{"schema": 1, ')
    with pytest.raises(ReportError, match=r"off: profiles/.*-off-fp32\.json: is not valid JSON"):
        find(load(place), "off")
