import json
from pathlib import Path

from stepbench_reports.read.run_directory import load
from support import synthetic_profile
from support.reading import rows, titled


def test_what_was_left_out_is_told_with_the_command_that_opens_the_rest(tmp_path: Path) -> None:
    section = titled(load(synthetic_profile.write_run(tmp_path / "run")), "Traces")
    assert any(r"failed: no \| trace" in line for line in section.lines)
    assert section.lead.startswith("`stepbench tensorboard RUN` ")


def test_the_share_in_which_a_device_is_idle(tmp_path: Path) -> None:
    run = load(synthetic_profile.write_run(tmp_path / "run", device_s=0.001))
    assert rows(titled(run, "Traces"))[0]["device idle"] == "25 %"


def test_a_profile_that_failed_is_told(tmp_path: Path) -> None:
    place = synthetic_profile.write_run(tmp_path / "run")
    (file,) = (place / "profiles").glob("*default*")
    content = json.loads(file.read_text())
    content |= {"status": "timeout", "reason": "not done after 3 s", "profile": None}
    file.write_text(json.dumps(content))
    assert any("not done after 3 s" in line for line in titled(load(place), "Traces").lines)
