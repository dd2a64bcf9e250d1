"""What was recognised of a script, in the section, the lines and the table."""

from pathlib import Path
from typing import Any

from stepbench_reports import sections
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.render.markdown import render
from stepbench_reports.wording import script, summary
from support import synthetic
from support.reading import rows, titled

TITLE = "What was recognised of the script"


def facts(**changed: Any) -> dict[str, Any]:
    usual = {
        "phases": ["forward", "backward", "optimizer", "other"],
        "parts": [
            {"name": "step", "found": "an update of AdamW", "reason": None},
            {"name": "data loader", "found": None, "reason": "no DataLoader: <none>"},
        ],
        "steps": 1234,
        "unexplained": 0.125,
        "unchanged": True,
    }
    return {**usual, **changed}


def script_run(directory: Path, *changes: dict[str, Any]) -> Run:
    """A run of a script: a case for each of some changes of its facts."""
    files = synthetic.eight_cases()[: len(changes)]
    for file, changed in zip(files, changes, strict=True):
        file["loader"] = None
        file["script"] = facts(**changed)
    return load(synthetic.write_run(directory, files))


def test_a_workload_has_no_such_section(tmp_path: Path) -> None:
    run = load(synthetic.write_run(tmp_path, synthetic.eight_cases()))
    assert TITLE not in {section.title for section in sections.collect(run)}
    assert script.recognised(run) == []


def test_the_report_begins_with_what_was_recognised(tmp_path: Path) -> None:
    run = script_run(tmp_path, {})
    recognised, missing, unexplained = script.recognised(run)
    assert recognised == "Recognised: step: an update of AdamW."
    assert missing == "Not found, so blank: data loader."
    assert unexplained.startswith("12 % of the wall time is in no phase and no evaluation")
    text = render(run)
    assert text.index("Recognised: step") < text.index("**")


def test_the_section_gives_reasons(tmp_path: Path) -> None:
    run = script_run(tmp_path, {})
    table = rows(titled(run, TITLE))
    assert table[0]["part"] == "step"
    assert table[1]["recognised as"] == "not recognised"
    assert "&lt;none&gt;" in table[1]["reason if not"] or "\\<none" in table[1]["reason if not"]
    assert table[1]["cases"] == "all"


def test_a_script_has_no_section_on_the_loader_alone(tmp_path: Path) -> None:
    run = script_run(tmp_path, {})
    assert "The loader alone" not in {section.title for section in sections.collect(run)}
    assert run.cases["loader_samples_per_s"].isna().all()


def test_changed_scripts_are_compared_with_the_unchanged_one(tmp_path: Path) -> None:
    run = script_run(tmp_path, {}, {"unchanged": False}, {"unchanged": False})
    first, *others = run.measured
    assert run.unchanged_script is first
    assert set(run.speedups) == {m.id for m in others}
    assert summary.speedup(run, first) == "–"
    assert "those of the unchanged script" in render(run)


def test_an_exit_code_of_its_own_is_told(tmp_path: Path) -> None:
    run = script_run(tmp_path, {"exit_code": 3, "ended": "called sys.exit(3)"})
    assert "called sys.exit(3) after 1,234 steps; its exit code is 3." in script.recognised(run)[-1]
