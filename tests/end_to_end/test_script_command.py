"""`stepbench script` as a user runs it, with its exit code, its files and its report."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.started_scripts import loop

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def script(tmp_path: Path) -> Run:
    """Writes `train.py`, and runs `stepbench script` on it."""

    def run(source: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "train.py").write_text(source)
        return subprocess.run(
            [sys.executable, "-m", "stepbench", "script", "--output", "out", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def cases(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((directory / "out/cases").iterdir())]


def test_a_script_is_measured_where_it_is(script: Run, tmp_path: Path) -> None:
    source = loop() + "    print('epoch', epoch, flush=True)\n    open('epochs', 'a').write('x')\n"
    done = script(source, "--steps", "300", "--profile", "--", "train.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch 0\n" in done.stdout
    assert done.stdout.index("Recognised: step") < done.stdout.index("medians in ms")
    assert (tmp_path / "epochs").exists()
    (case,) = cases(tmp_path)
    assert case["id"] == "train.py-cpu-b8-w0-off-fp32"
    assert case["phases"] == ["dataload", "forward", "backward", "optimizer", "other"]
    assert case["loader"] is None
    taken = [turn["steps"] for turn in case["turns"] if turn["kind"] == "lapped"]
    assert sum(taken) == 300
    report = (tmp_path / "out/report.md").read_text()
    assert "Recognised: step" in report
    assert "What was recognised of the script" in report
    assert (tmp_path / "out/report.html").exists()
    (file,) = (tmp_path / "out/profiles").iterdir()
    profile = json.loads(file.read_text())["profile"]
    assert profile["breakdown"]["steps"] == 3
    rows = {(row["phase"], row["operator"]) for row in profile["breakdown"]["rows"]}
    assert {("forward", "aten::addmm"), ("other", "(outside operators)")} <= rows
    assert len(list((tmp_path / "out/traces").iterdir())) == 1
    assert len(list((tmp_path / "out/tb").rglob("*.pt.trace.json.gz"))) == 1


def test_the_script_s_exit_code_is_kept_with_what_was_measured(script: Run, tmp_path: Path) -> None:
    # The steps outlast the warm-up, which takes a quarter of --max-time at most.
    options = ("-q", "--steps", "100000", "--max-time", "2")
    done = script(loop(10) + "import sys\nsys.exit(3)\n", *options, "--", "train.py")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "called sys.exit(3)" in done.stdout
    (case,) = cases(tmp_path)
    assert case["status"] == "ok"
    assert case["script"]["exit_code"] == 3
    assert case["sampling"]["stopped"] == "script ended"


def test_a_script_that_fails_early_keeps_its_traceback(script: Run, tmp_path: Path) -> None:
    done = script("import torch\nraise ValueError('bad')\n", "--", "train.py")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.rstrip().endswith("ValueError: bad")
    assert "stepbench" not in done.stderr
    (case,) = cases(tmp_path)
    assert case["status"] == "error"
    assert "train.py raised ValueError: bad" in case["reason"]


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        ("print('x", ("--", "train.py"), "train.py: is no Python"),
        ("", ("--", "other.py"), "there is no such file"),
        (loop(), ("--device", "cuda", "--", "train.py"), "the script trains on cpu"),
    ],
)
def test_wrong_usage_leaves_no_run(
    script: Run, tmp_path: Path, source: str, words: tuple[str, ...], message: str
) -> None:
    done = script(source, *words)
    assert done.returncode == 4, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_settings_are_compared_without_touching_the_user_s_files(
    script: Run, tmp_path: Path
) -> None:
    source = loop() + "    open('checkpoint', 'w').write('x')\n"
    done = script(
        source, "--set", "optimizer=plain,foreach", "--generations", "2", "--max-time", "1.5",
        "--", "train.py",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    measured = cases(tmp_path)
    assert [case["status"] for case in measured] == ["ok"] * 3
    assert [case["script"]["unchanged"] for case in measured].count(True) == 1
    assert "speed-up" in done.stdout
    verdicts = [
        json.loads(path.read_text())["judgement"]["verdict"]
        for path in (tmp_path / "out/parity").iterdir()
    ]
    assert verdicts == ["pass"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "train.py"]
    assert (tmp_path / "train.py").read_text() == source


def test_several_ranks_are_refused(
    script: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = script(loop(), "--", "train.py")
    assert done.returncode == 4
    assert "WORLD_SIZE=2" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_script_without_dashes_before_it_is_told_where_they_go(script: Run) -> None:
    done = script(loop(), "--steps", "5", "train.py")
    assert done.returncode == 4
    assert "train.py: put -- before the script" in done.stdout + done.stderr


def test_a_run_is_resumed_where_it_was_interrupted(script: Run, tmp_path: Path) -> None:
    words = ("--steps", "50", "--", "train.py")
    assert script(loop(), "-q", *words).returncode == 0
    file = tmp_path / "out/cases/train.py-cpu-b8-w0-off-fp32.json"
    measured = file.read_text()

    def resumed(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "stepbench", "script", "--resume", "out", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    done = resumed("--", "train.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert file.read_text() == measured

    record = json.loads(measured)
    record["sampling"]["stopped"] = "interrupted"
    file.write_text(json.dumps(record))
    done = resumed("--", "train.py")
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(file.read_text())
    assert again["sampling"]["stopped"] == "steps"
    assert sum(turn["steps"] for turn in again["turns"] if turn["kind"] == "lapped") == 50

    done = resumed("--output", "new", "--", "train.py")
    assert done.returncode == 4
    assert "a resumed run keeps its directory; leave out one of them" in done.stderr
