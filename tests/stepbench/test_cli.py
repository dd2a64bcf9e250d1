import io
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from stepbench.cli import SUBCOMMANDS, main, write_any_text

NAMES = [subcommand.name for subcommand in SUBCOMMANDS]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def stepbench(tmp_path: Path) -> Run:
    """Runs `python -m stepbench` in the test's directory, as a user does."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "stepbench", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    return run


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main([option]) == 0
    out, err = capsys.readouterr()
    for subcommand in SUBCOMMANDS:
        assert f"  {subcommand.name} " in out
        assert subcommand.help in out
        assert out.index(f"\n{subcommand.purpose}:\n") < out.index(f"\n  {subcommand.name} ")
    assert out.partition("first steps:")[2].count("\n  stepbench ") >= 3
    assert all(len(line) <= 100 for line in out.splitlines())
    assert not err


def test_no_subcommand_is_wrong_usage_and_shows_the_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 4
    out, err = capsys.readouterr()
    assert not out
    assert all(name in err for name in NAMES)


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("repot", "did you mean report"),
        ("regresion", "did you mean regression"),
        ("xyz", "choose from run, "),
    ],
)
def test_an_unknown_subcommand_gets_a_suggestion(
    capsys: pytest.CaptureFixture[str], word: str, remedy: str
) -> None:
    assert main([word]) == 4
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"error: stepbench {word}: there is no such subcommand; ")
    assert remedy in err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"stepbench {metadata.version('stepbench')}\n"


@pytest.mark.parametrize("name", NAMES)
def test_each_subcommand_has_help_with_three_examples(stepbench: Run, name: str) -> None:
    done = stepbench(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: stepbench {name}")
    assert done.stdout.partition("examples:")[2].count(f"\n  stepbench {name}") >= 3
    assert "python -m bench" not in done.stdout


def test_python_m_is_the_same_as_the_command(stepbench: Run, tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("stepbench")
    for arguments in (["--help"], ["--version"], ["repot"], []):
        as_module = stepbench(*arguments)
        as_command = subprocess.run(
            [script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert as_module.stdout == as_command.stdout
        assert as_module.stderr == as_command.stderr
        assert as_module.returncode == as_command.returncode


@pytest.mark.parametrize("name", NAMES)
def test_files_of_the_current_directory_shadow_no_module(
    stepbench: Run, tmp_path: Path, name: str
) -> None:
    for module in ("rich", "pytest", "stepbench_reports", "argparse", "psutil", "random"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('the wrong module')\n")
    done = stepbench(name, "--help")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_run_imports_the_real_pytest(stepbench: Run, tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text("raise SystemExit('the wrong module')\n")
    done = stepbench("run", "--collect-only", "--device", "cpu", "--compile", "off")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 cases:" in done.stdout


@pytest.mark.parametrize(
    ("is_terminal", "written"), [(True, rb"2\xd7 \udcff"), (False, b"2\xc3\x97 \\udcff")]
)
def test_any_text_can_be_printed(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, written: bytes
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    write_any_text()
    print("2× \udcff", end="", flush=True)
    assert stream.buffer.getvalue() == written
