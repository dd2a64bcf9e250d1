from pathlib import Path

from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
from support import synthetic_profile
from support.reading import rows, titled


def test_the_longest_of_each_case_are_shown(tmp_path: Path) -> None:
    run = load(synthetic_profile.write_run(tmp_path / "run"))
    assert "<summary>Operators</summary>" in render(run)
    section = titled(run, "Operators")
    assert "`stepbench compare RUN --operators A B`" in section.lead
    first = next(row for row in rows(section) if row["compile"] == "off")
    assert first == {
        "compile": "off", "phase": "backward", "operator": "aten::mm", "calls": "2",
        "host, µs": "5,000", "allocated, MiB": "0.00024", "share": "50 %",
    }  # fmt: skip


def test_on_a_device_its_time_is_a_column(tmp_path: Path) -> None:
    run = load(synthetic_profile.write_run(tmp_path / "run", device_s=0.001))
    assert "device, µs" in rows(titled(run, "Operators"))[0]
