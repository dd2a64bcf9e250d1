import json
from pathlib import Path

from stepbench_reports.read.run_directory import load
from support import synthetic_profile
from support.reading import rows, titled


def test_parts_that_are_left_out_are_listed_with_their_reasons(tmp_path: Path) -> None:
    section = titled(load(synthetic_profile.write_run(tmp_path / "run")), "Traces")
    assert any(r"failed: no \| trace" in line for line in section.lines)
    assert section.lead.startswith("`stepbench tensorboard RUN` ")


def test_the_share_in_which_a_device_is_idle(tmp_path: Path) -> None:
    run = load(synthetic_profile.write_run(tmp_path / "run", device_s=0.001))
    assert rows(titled(run, "Traces"))[0]["device idle"] == "25 %"


def test_a_failed_profile_is_listed_with_its_reason(tmp_path: Path) -> None:
    path = synthetic_profile.write_run(tmp_path / "run")
    (file,) = (path / "profiles").glob("*default*")
    content = json.loads(file.read_text())
    content |= {"status": "timeout", "reason": "not done after 3 s", "profile": None}
    file.write_text(json.dumps(content))
    assert any("not done after 3 s" in line for line in titled(load(path), "Traces").lines)
