"""The commands in the README of the example repository work."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.warm import WarmCommands

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own-repository"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "repository"))


def test_its_matrix_is_measured_despite_its_pytest_options(
    commands: WarmCommands, repository: Path
) -> None:
    done = commands.run(
        [sys.executable, "-m", "stepbench", "run", "--matrix", "small", "--steps", "3",
         "--parity-steps", "2"],
        cwd=repository,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    run = repository / "results" / "latest"
    cases = {path.stem: json.loads(path.read_text()) for path in (run / "cases").glob("*.json")}
    assert set(cases) == {f"bench_signals-cpu-b{size}-w0-off-fp32" for size in (16, 64)}
    assert {case["model"]["name"] for case in cases.values()} == {"Listener"}
    verdicts = {
        json.loads(path.read_text())["judgement"]["verdict"]
        for path in (run / "parity").glob("*.json")
    }
    assert verdicts == {"pass"}


def test_its_tests_pass_with_its_pytest_options(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=repository, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
