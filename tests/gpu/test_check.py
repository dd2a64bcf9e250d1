"""The check without a card: its refusal, its stages and their limits, its page."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import check
import pytest
import stages
import truth_gpu
from criteria import CRITERIA
from stages import Stage

from stepbench.config import options
from stepbench.config.option_definitions import FLAGS, add_flags
from stepbench.regression import command as regression_command
from stepbench.regression import options as regression_options

SCRIPT = Path(check.__file__)
OK, BROKEN, HANGS = (
    Stage("profile", "prof", 60, ("-c", "open('prof', 'w').close()")),
    Stage("gate", "check", 60, ("-c", "raise SystemExit(3)")),
    Stage("resnet18", "big", 0.5, ("-c", "import time; time.sleep(600)")),
)


def test_without_a_card_one_line_says_what_is_missing_and_the_exit_code_is_4(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "out")],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    (line,) = done.stderr.splitlines()
    assert "no NVIDIA card" in line or "without CUDA" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("torch", "words"),
    [
        (None, "torch is not installed"),
        (SimpleNamespace(version=SimpleNamespace(cuda=None), __version__="2.11"), "without CUDA"),
        (
            SimpleNamespace(
                version=SimpleNamespace(cuda="13"),
                cuda=SimpleNamespace(is_available=lambda: False),
            ),
            "finds no NVIDIA card",
        ),
    ],
)
def test_each_thing_that_may_be_missing_has_its_remedy(
    monkeypatch: pytest.MonkeyPatch, torch: Any, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", torch)
    missing = check.missing_card()
    assert missing is not None
    assert words in missing
    assert ";" in missing  # what to do


def test_a_stage_that_fails_or_hangs_does_not_end_the_rest(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()  # of an earlier check
    ended = stages.run_stages((BROKEN, HANGS, OK), tmp_path)
    assert {name: stage.code for name, stage in ended.items()} == {
        "gate": 3, "resnet18": None, "profile": 0,
    }  # fmt: skip
    assert ended["resnet18"].outcome == "was ended at its limit of 0 s"
    assert (tmp_path / "prof").exists()
    assert not (tmp_path / "big").exists()
    kept = json.loads((tmp_path / "stages.json").read_text())
    assert {name: stage["code"] for name, stage in kept.items()} == {
        "gate": 3, "resnet18": None, "profile": 0,
    }  # fmt: skip


def test_no_stage_begins_when_the_time_for_all_is_over(tmp_path: Path) -> None:
    ended = stages.run_stages((OK,), tmp_path, total_s=0.0)
    assert ended["profile"].outcome.startswith("was not run")
    assert not (tmp_path / "prof").exists()


def test_a_stage_that_does_not_heed_the_interrupt_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "GRACE_S", 0.2)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    ended = stages.run_stage(Stage("deaf", "deaf", 1, ("-c", deaf)), tmp_path, 3.0)
    assert ended.code is None


def test_the_whole_check_ends_within_eight_minutes() -> None:
    assert stages.TOTAL_S + stages.GRACE_S < 8 * 60 - 20


def test_the_stages_have_the_results_that_the_criteria_need() -> None:
    assert [stage.name for stage in stages.STAGES] == [
        "reference", "truth", "profile", "gate", "resnet18", "convnet",
    ]  # fmt: skip
    assert len({stage.result for stage in stages.STAGES}) == len(stages.STAGES)


@pytest.mark.parametrize("stage", stages.STAGES[1:], ids=lambda stage: stage.name)
def test_stepbench_has_the_options_of_every_stage(stage: Stage, tmp_path: Path) -> None:
    check.prepare(tmp_path)
    directory = tmp_path / stage.directory
    module, name, command, *arguments = stage.command
    assert (module, name) == ("-m", "stepbench")
    if command == "run":
        parser = argparse.ArgumentParser()
        add_flags(parser, FLAGS)
        values = vars(parser.parse_args(arguments))
        assert options.read(values, directory).matrix.axes["device"] == ("cuda",)
    else:
        values = vars(regression_command.parser().parse_args(arguments))
        assert regression_options.read(values, directory).base == "HEAD~1"


def test_the_second_commit_has_a_tenth_more_backward(tmp_path: Path) -> None:
    check.prepare(tmp_path)
    repository = tmp_path / "gate"
    show = ["git", "-C", str(repository), "show"]
    base, head = (
        subprocess.run([*show, f"{name}:work.py"], capture_output=True, text=True, check=True)
        for name in ("HEAD~1", "HEAD")
    )
    assert base.stdout == Path(truth_gpu.__file__).read_text()
    assert head.stdout != base.stdout
    before, after = (int(text.split(": ")[1].replace("_", "")) for text in check.SLOWER)
    assert before == truth_gpu.CYCLES["backward"]
    assert after == pytest.approx(1.1 * before)


def test_the_page_has_every_criterion_and_how_each_stage_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "missing_card", lambda: None)
    monkeypatch.setattr(check, "STAGES", (BROKEN, OK))
    assert check.main([str(tmp_path), "--only", "gate"]) == 1
    page = (tmp_path / "gpu.md").read_text()
    assert page in capsys.readouterr().out
    rows = [line for line in page.splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(CRITERIA)
    assert "the stage gate ended with exit code 3" in page
    assert "Stages: gate ended with exit code 3" in page
    assert not (tmp_path / "prof").exists()
