"""Every option of every command takes any value, or refuses it in one sentence with exit code 4.

The options come from their definitions, so a new option is tried as well.
"""

import argparse
import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stepbench import cli, tensorboard
from stepbench.config.option_definitions import FLAGS, Flag
from stepbench.config.options import Options
from stepbench.config.options import read as read_run
from stepbench.doctor import command as doctor
from stepbench.errors import UsageError
from stepbench.init import command as init
from stepbench.regression.options import CHECK_FLAGS, RUN_FLAGS
from stepbench.regression.options import read as read_check
from stepbench.results.claim import create, reopen
from stepbench.runner.run import Runner
from stepbench_reports import commands
from stepbench_reports.command_line import USAGE_ERROR
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from stepbench_reports.schema.files import encode
from support import synthetic

NUMBERS = (
    "0", "-1", "-0", "1", "1.5", "9" * 5000, "-" + "9" * 5000, "0" * 5000, str(2**31), str(2**32),
    str(2**53 + 1), str(2**63), str(2**64), "1e300", "1e400", "1e-320", "nan", "inf", "-inf",
    "0x10", "1_000", "²", "٣", "1e9GiB", "9" * 400 + "GiB", "16EiB", "99999999h", "9" * 400 + "s",
    "1e999%",
)  # fmt: skip
TEXTS = (
    "", " ", ",", ",,,", "=", ":", "::", "{}", "[", "(", "%s%n", "None", "True", "*", "~", "..",
    "a.b", "\0", "a\0b", "a\nb", "\x1b[31m", "\udcff", "x" * 300, "x" * 5000, "x/" * 3000,
    "a:" * 2000, "é", "cpu:" + "9" * 5000, "cpu:²", "cuda:-1", "backend:", "backend:\0",
    "compile=\0", "=off",
    "x" * 5000 + ".py:make", "\0.py:make", "\udcff.py:make", "a" * 300 + ".b:c", "\0:make",
    "a:\0",
)  # fmt: skip
PATHS = (
    "~nosuch-user", "~nosuch-user/x", "/dev/null", "/dev/null/x", "/proc/self/mem",
    "/proc/1/root/x", "//", "/", "./\0", "pyproject.toml/x",
)  # fmt: skip
NASTY = (*NUMBERS, *TEXTS, *PATHS)

Read = Callable[[Mapping[str, Any], Path], object]


def valued(flags: Sequence[Flag]) -> list[Flag]:
    return [flag for flag in flags if flag.arguments.get("action") != "store_true"]


def required(flag: Flag) -> dict[str, Any]:
    """The options without which an option has no effect."""
    names = {"--train-": "stepbench_train_parity", "--profile-": "stepbench_profile"}
    return {other: True for prefix, other in names.items() if flag.name.startswith(prefix)}


def try_value(flag: Flag, word: str, read: Read, directory: Path, **more: Any) -> object:
    """What is read from a value of an option; `None` if the value is refused in one line."""
    value = [word] if "nargs" in flag.arguments else word
    try:
        return read({**required(flag), **more, flag.destination: value}, directory)
    except UsageError as error:
        message = str(error)
        assert "--" in message
        assert len(message) < 1500, f"{flag.name} {word[:20]!r}"
        return None


@pytest.mark.parametrize("flag", valued(FLAGS), ids=lambda flag: flag.name)
def test_a_run_takes_or_refuses_any_value(
    flag: Flag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in NASTY:
        options = try_value(flag, word, read_run, tmp_path)
        if isinstance(options, Options):
            use(options)


def use(options: Options) -> None:
    """Takes the first steps of a run with options: its facts are stored, its cases are listed."""
    for record in (options.sampling, options.settings, options.parity, options.train_parity):
        if record is not None:
            encode(record)
    with contextlib.suppress(UsageError):
        if options.resume is not None:
            reopen(options.resume).close()
        if options.output is not None and not options.output.exists():
            create(options.output).discard()
        Runner(options, [], Console(file=io.StringIO())).list_only()


@pytest.mark.parametrize("flag", valued((*CHECK_FLAGS, *RUN_FLAGS)), ids=lambda flag: flag.name)
def test_a_check_takes_or_refuses_any_value(
    flag: Flag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in NASTY:
        try_value(flag, word, read_check, tmp_path, stepbench_base="main")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load(synthetic.write_run(tmp_path / "run", synthetic.two_cases()))


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options of a parser that take values, and its positional arguments."""
    return [action for action in parser._actions if action.nargs != 0]


COMMANDS = (
    (commands.report, commands.report_parser()),
    (commands.compare, commands.compare_parser()),
)


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command, parser in COMMANDS for option in options_of(parser)],
    ids=lambda value: getattr(value, "dest", None) or value.__name__,
)
def test_reports_take_or_refuse_any_value(
    command: Callable[[Sequence[str]], int],
    option: argparse.Action,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(run.path)
    cli.write_any_text()
    for word in NASTY:
        words = [word] * (option.nargs if isinstance(option.nargs, int) else 1)
        flags = [] if not option.option_strings else [str(run.path), option.option_strings[0]]
        code = ended(command, [*flags, *words])
        error = capsys.readouterr().err
        assert code in {0, USAGE_ERROR}, word[:20]
        assert "Traceback" not in error
        assert (code == 0) == (not error), word[:20]


def test_the_doctor_takes_or_refuses_any_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "check_machine", lambda *_, **__: ())
    cli.write_any_text()
    for option in options_of(doctor.parser()):
        for word in NASTY:
            code = ended(doctor.main, [f"{option.option_strings[0]}={word}"])
            error = capsys.readouterr().err
            assert code in {0, USAGE_ERROR}, word[:20]
            assert (code == 0) == (not error), word[:20]


def test_init_takes_or_refuses_any_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.write_any_text()
    (tmp_path / "net.py").write_text("from torch import nn\nclass Net(nn.Module): pass\n")
    for word in NASTY:
        for arguments in ([word], [f"{word}:Net"], [f"--output={word}"]):
            code = ended(init.main, [*arguments, "--no-try", "--overwrite"])
            error = capsys.readouterr().err
            assert code in {0, USAGE_ERROR}, word[:20]
            assert (code == 0) == (not error), word[:20]


def ended(command: Callable[[Sequence[str]], int], arguments: list[str]) -> int:
    """The exit code of a command, whichever way it ends."""
    try:
        return command(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_tensorboard_refuses_what_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.write_any_text()
    for word in NASTY:
        if not word.startswith("-"):  # an option of TensorBoard's
            assert tensorboard.main([word]) == USAGE_ERROR
            assert capsys.readouterr().err.startswith("error: ")
