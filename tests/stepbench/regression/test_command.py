import re
import sys
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.regression import check, github
from stepbench.regression.command import Serve, main
from stepbench.regression.directory import CheckDirectory
from stepbench.regression.options import CheckOptions
from stepbench_reports import ReportError
from stepbench_reports.schema.files import CHECK, write_record
from support import synthetic_check


@pytest.fixture(autouse=True)
def outside_of_github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(github.ACTIONS, raising=False)
    monkeypatch.delenv(github.SUMMARY, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nothing"], "unrecognized arguments: --nothing"),
        ([], "--base: give what to compare with"),
        (["--resume", "nowhere"], "nowhere: holds no check"),
    ],
)
def test_wrong_usage_is_4(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 4
    err = capsys.readouterr().err
    assert message in err
    assert err.splitlines()[-1] == "exit code 4: wrong usage"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("--x: no"), 4, "error: --x: no"),
        (ReportError("no space is left"), 2, "error: no space is left"),
        (KeyboardInterrupt(), 2, "interrupted before anything was measured"),
        (RuntimeError("broken"), 2, "error: stepbench failed: RuntimeError('broken')"),
    ],
)
def test_what_stops_a_check_early_has_its_code(
    error: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(check, "run", fail)
    monkeypatch.setenv(github.ACTIONS, "true")
    assert main(["--base", "main"]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.splitlines()[-1].startswith(f"exit code {code}: ")
    assert captured.out.startswith("::error title=stepbench regression::")


def test_a_signal_while_the_verdict_is_made_says_how_to_make_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: CheckOptions, directory: CheckDirectory, *__: object) -> None:
        directory.write_spec(synthetic_check.spec())
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "run", interrupt)
    assert main(["--base", "main", "--output", "out"]) == 2
    message, last_line = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"error: interrupted .*: stepbench report out", message)
    assert last_line.startswith("exit code 2: ")


def crafted(directory: Path, *arguments: str) -> Path:
    """Makes the directory of a check with some arguments."""
    path = directory / "crafted"
    path.mkdir()
    write_record(path / CHECK, synthetic_check.spec(arguments=arguments))
    return path


TOUCH = "#!/bin/sh\ntouch ran\n"
"""A program that shows that it ran."""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--base", "main", "--workload", "results/x/evil.py:make"],
            "names the workload results/x/evil.py:make, which lies among results",
        ),
        (["--base", "main", "--workload", "../evil.py:make"], "outside the current directory"),
        (["--base-python", "evil"], "names the interpreter"),
        (["--base", "main", "--script", "evil.py", "--", "-q"], "names the script evil.py -q"),
        (["--help"], "the options in its check.json cannot be used"),
        (["--nothing"], "the options in its check.json cannot be used"),
        (["--base-python", "\x1b]0;evil\x07"], "\\x1b]0;evil\\x07"),
    ],
    ids=[
        "among results",
        "elsewhere",
        "interpreter",
        "script",
        "help",
        "unknown",
        "escape sequence",
    ],
)
def test_a_crafted_check_runs_no_code_and_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil").write_text(TOUCH)
    (tmp_path / "evil").chmod(0o755)
    for evil in (tmp_path / "results" / "x" / "evil.py", tmp_path.parent / "evil.py"):
        evil.parent.mkdir(parents=True, exist_ok=True)
        evil.write_text("from pathlib import Path\nPath('ran').touch()\n")
    assert main(["--resume", str(crafted(tmp_path, *arguments))]) == 4
    captured = capsys.readouterr()
    assert message in captured.err
    assert "\x1b" not in captured.out + captured.err
    assert captured.err.splitlines()[-1] == "exit code 4: wrong usage"
    assert not (tmp_path / "ran").exists()


def test_code_that_is_named_again_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun: list[CheckOptions] = []

    def begin(options: CheckOptions, *_: object) -> None:
        begun.append(options)
        raise UsageError("--x: far enough")

    monkeypatch.setattr(check, "run", begin)
    (tmp_path.parent / "theirs.py").touch()
    names = ("--workload", "../theirs.py:make", "--base-python", sys.executable)
    path = crafted(tmp_path, *names)
    assert main(["--resume", str(path), *names]) == 4
    assert [options.base_python for options in begun] == [Path(sys.executable)]
    assert main(["--resume", str(path), "--workload", "net"]) == 4
    assert "the check has another --workload" in capsys.readouterr().err
    assert len(begun) == 1


@pytest.mark.parametrize("resumes", [False, True])
def test_a_script_is_prepared_with_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumes: bool
) -> None:
    prepared: list[CheckOptions] = []

    def prepare(options: CheckOptions) -> tuple[CheckOptions, Serve]:
        prepared.append(options)
        raise UsageError("--x: far enough")

    monkeypatch.chdir(tmp_path)
    words = ["--base", "main", "--script", "train.py", "--", "--lr", "1"]
    if resumes:
        words = ["--resume", str(crafted(tmp_path, *words)), "--script", "train.py"]
    assert main(words, prepare) == 4
    assert [options.script for options in prepared] == [("train.py", "--lr", "1")]


def test_arguments_of_no_script_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--base", "main", "--", "--lr", "1"]) == 4
    assert "only a script has arguments" in capsys.readouterr().err
