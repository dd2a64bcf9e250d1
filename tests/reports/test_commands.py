"""`stepbench report` and `stepbench compare`, as they are called."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stepbench_reports.commands import compare, report
from stepbench_reports.read.run import Run
from stepbench_reports.schema.check import PairLine
from support import synthetic, synthetic_check, synthetic_profile

Command = Callable[[Sequence[str]], int]
SLOWED = [
    *synthetic_check.entries(6, 0.05),
    *synthetic_check.entries(24, 0.05, first=7, stage="confirm"),
]


def written(place: Path, factor: float = 1.0) -> Path:
    """A run directory whose steps are longer by a factor."""
    files = synthetic.two_cases()
    for file in files:
        synthetic.slow_down(file, factor)
    return synthetic.write_run(place, files, id=place.name)


# --- stepbench report ----------------------------------------------------------------------------


def test_a_run_is_reported(believable: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert report([str(believable.path)]) == 0
    out = capsys.readouterr().out
    assert "Fastest: batch size 32, 2 workers, eager" in out
    assert f"wrote {believable.path / 'report.md'}" in out
    assert (believable.path / "phases.csv").exists()


def test_the_latest_run_is_the_usual_one(
    believable: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parent = believable.path.parent
    (parent / "results").mkdir()
    believable.path.rename(parent / "results" / "latest")
    monkeypatch.chdir(parent)
    assert report([]) == 0
    assert "wrote results/latest/report.md" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pairs", "code", "verdict"),
    [
        (synthetic_check.entries(6), 0, "No regression: "),
        (SLOWED, 1, "Regression: "),
        (synthetic_check.entries(3), 0, "3 pairs are too few"),
        ([], 2, "no pair was measured"),
    ],
)
def test_the_verdict_of_a_check_is_the_exit_code(
    pairs: list[PairLine],
    code: int,
    verdict: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    synthetic_check.write(tmp_path, pairs)
    assert report([str(tmp_path)]) == code
    out = capsys.readouterr().out
    assert verdict in " ".join(out.split())
    assert out.splitlines()[-1].startswith(f"exit code {code}: ")
    for name in ("verdict.json", "report.md", "junit.xml"):
        assert (tmp_path / name).exists()


def test_a_directory_without_a_run_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([str(tmp_path)]) == 4
    assert f"error: {tmp_path}: holds no run" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        report(["a", "b"])
    assert ended.value.code == 4
    assert "unrecognized arguments: b; see stepbench report --help" in capsys.readouterr().err


WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(["torch", "stepbench"]))  # importing these now fails
from stepbench_reports.commands import report
sys.exit(report(sys.argv[1:]))
"""


def test_reports_can_be_made_where_there_is_no_torch(believable: Run) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(believable.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (believable.path / "report.md").exists()


# --- stepbench compare ---------------------------------------------------------------------------


def test_another_run_is_compared_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here, there = written(tmp_path / "here", 2.0), written(tmp_path / "there")
    assert compare([str(here), "--against", str(there)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("### stepbench: here against there")
    assert "measured at different times" in shown
    assert "0.50×" in shown
    assert not (here / "report.md").exists()
    assert compare([str(here), "--against", str(tmp_path / "nothing")]) == 4
    assert "holds no run" in capsys.readouterr().err


def test_a_condition_holds_for_both_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = written(tmp_path / "here"), written(tmp_path / "there")
    assert compare([str(here), "--against", str(there), "--where", "compile == 'off'"]) == 0
    shown = capsys.readouterr().out
    assert "1 case in both" in shown
    assert "Only in" not in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--by", "batch-size"], "batch size 32"),
        (["--baseline", "num_workers=0"], "geometric mean of the ratios"),
        (["--where", "batch_size == 4"], "w2 default"),
        (["--where", "compile == 'off'", "--by", "num_workers"], "2 workers"),
    ],
)
def test_cases_are_compared_and_nothing_is_written(
    options: list[str], said: str, believable: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(believable.path.rglob("*"))
    assert compare([str(believable.path), *options]) == 0
    assert said in capsys.readouterr().out
    assert sorted(believable.path.rglob("*")) == before


def test_operators_account_for_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = synthetic_profile.write_run(tmp_path / "run")
    assert compare([str(run), "--operators", "off", "default"]) == 0
    shown = capsys.readouterr().out
    assert "default against off" in shown
    assert "aten::addmm" in shown
    assert "-4,000" in shown
    assert "[8] [4, 2]" not in shown
    assert compare([str(run), "--operators", "off", "default", "--shapes"]) == 0
    assert "[8] [4, 2]" in capsys.readouterr().out
    assert not (run / "report.md").exists()
    assert compare([str(run), "--operators", "off", "nothing"]) == 4
    assert "there is no such case" in capsys.readouterr().err


def test_an_axis_that_is_not_one_is_wrong_usage(
    believable: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare([str(believable.path), "--by", "batchsize"]) == 4
    assert "batch_size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shapes"], "--shapes: applies only to --operators"),
        (["--by", "compile", "--baseline", "compile=off"], "not allowed with argument --by"),
        ([], "--against, --by, --baseline, --operators or --where"),
    ],
)
def test_what_cannot_be_compared_is_wrong_usage(
    options: list[str], said: str, believable: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        compare([str(believable.path), *options])
    assert ended.value.code == 4
    error = capsys.readouterr().err
    assert said in error
    assert "see stepbench compare --help" in error


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (report, ("results/latest", "report.md", "phases.csv", "exit codes")),
        (compare, ("results/latest", "--against", "--by", "--baseline", "--where", "exit codes")),
    ],
    ids=["report", "compare"],
)
def test_help_teaches_by_three_examples_and_more(
    command: Command, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for word in words:
        assert word in out
    examples = out.partition("examples:\n")[2].splitlines()
    assert sum(line.startswith("  stepbench ") for line in examples) >= 3


def test_names_that_are_not_utf_8_are_written_escaped_in_any_locale(tmp_path: Path) -> None:
    files = synthetic.two_cases()
    cases = [*(file["id"] for file in files), "not-measured"]  # so that the report names the run
    run = synthetic.write_run(tmp_path / "caf\udce9", files, cases=cases)
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    printed = []
    for arguments in (["report", str(run)], ["compare", str(run), "--by", "compile"]):
        command = [sys.executable, "-m", "stepbench", *arguments]
        done = subprocess.run(
            command, env={**os.environ, **ascii_only}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.decode("utf-8"))
    assert "caf\\udce9/report.md" in printed[0]
    assert all("×" in text for text in printed)
    assert "caf\\udce9" in (run / "report.md").read_text(encoding="utf-8")
