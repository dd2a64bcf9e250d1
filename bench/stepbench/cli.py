"""The command `stepbench`: a table of subcommands, each imported when it is called."""

import io
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from operator import attrgetter
from typing import Any

from stepbench.errors import suggestion
from stepbench.interruption import INTERRUPTED, signals_as_ctrl_c
from stepbench.search_path import leave_out_current_directory
from stepbench_reports.command_line import USAGE_ERROR
from stepbench_reports.schema.text import printable


@dataclass(frozen=True)
class Subcommand:
    """A subcommand.

    Attributes:
        name: The name as it is typed.
        help: One line for the list of subcommands.
        function: `module:function`, imported when it is called; takes the arguments that follow
            the name and returns the exit code.
        parser: `module:function`, which makes the parser that shows the subcommand's help.
        purpose: The heading that lists the subcommand.
    """

    name: str
    help: str
    function: str
    parser: str
    purpose: str

    def __call__(self, arguments: list[str]) -> int:
        """Runs the subcommand."""
        code: int = _imported(self.function)(arguments)
        return code

    def make_parser(self) -> ArgumentParser:
        """Makes the parser that shows the subcommand's help."""
        parser: ArgumentParser = _imported(self.parser)()
        return parser


def _imported(name: str) -> Callable[..., Any]:
    """Imports a function, which is given as `module:function`."""
    module, _, function = name.partition(":")
    imported: Callable[..., Any] = getattr(import_module(module), function)
    return imported


MEASURE, READ, SET_UP = "measure", "read results", "set up"
SUBCOMMANDS = (
    Subcommand(
        "run",
        "time each phase of a training step, over a matrix of settings",
        "stepbench.benchmarks.session:main",
        "stepbench.benchmarks.session:parser",
        MEASURE,
    ),
    Subcommand(
        "script",
        "run your own train.py unedited: its phases, and which settings make it faster",
        "stepbench.scripts.command:main",
        "stepbench.scripts.command:parser",
        MEASURE,
    ),
    Subcommand(
        "regression",
        "compare the speed of two revisions; fail if head is slower",
        "stepbench.script_regression:main",
        "stepbench.regression.command:parser",
        MEASURE,
    ),
    Subcommand(
        "report",
        "write the reports of a run or a regression check again",
        "stepbench_reports.commands:report",
        "stepbench_reports.commands:report_parser",
        READ,
    ),
    Subcommand(
        "compare",
        "compare runs, or the cases of a run",
        "stepbench_reports.commands:compare",
        "stepbench_reports.commands:compare_parser",
        READ,
    ),
    Subcommand(
        "trend",
        "draw the verdicts of regression checks over commits",
        "stepbench_reports.commands:trend",
        "stepbench_reports.commands:trend_parser",
        READ,
    ),
    Subcommand(
        "tensorboard",
        "open profiled runs in TensorBoard",
        "stepbench.tensorboard:main",
        "stepbench.tensorboard:parser",
        READ,
    ),
    Subcommand(
        "init",
        "write a workload file for a model or from a training script, and try it",
        "stepbench.init.command:main",
        "stepbench.init.command:parser",
        SET_UP,
    ),
    Subcommand(
        "doctor",
        "check what this machine can measure, and what to do about the rest",
        "stepbench.doctor.command:main",
        "stepbench.doctor.command:parser",
        SET_UP,
    ),
    Subcommand(
        "completion",
        "print a script that lets the shell complete options and values",
        "stepbench.completion:main",
        "stepbench.completion:parser",
        SET_UP,
    ),
)
JOB = "job"
"""The subcommand that an engine starts on a node; it is not listed."""
FIRST_STEPS = """\
first steps:
  stepbench run --steps 20                      a shipped model with and without torch.compile,
                                                in a minute; prints a table, without intervals
  stepbench script -- train.py --epochs 1       your own training script, unedited
  stepbench run --workload my_bench.py:make --batch-size 32 128 --num-workers 0 2 4
                                                your own model; every combination is a case
  stepbench run --batch-size 32 --profile       the same, and which operators take the time
  stepbench compare results/latest --by num_workers
  stepbench regression --base main --workload my_bench.py:make
                                                does my change make training slower?

Every run is a directory in results/, with report.html for the browser; results/latest is the last
one that was started without --output.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand.

    Args:
        arguments: The command line without the program's name; `None` for `sys.argv`.

    Returns:
        The subcommand's exit code; 2 after Ctrl-C, SIGTERM or SIGHUP; 4 if there is no such
        subcommand.
    """
    write_any_text()
    words = list(sys.argv[1:] if arguments is None else arguments)
    by_name = {subcommand.name: subcommand for subcommand in SUBCOMMANDS}
    name = words[0] if words else ""
    if name in by_name:
        leave_out_current_directory()
        return _run(by_name[name], words[1:])
    if name == JOB:
        leave_out_current_directory()
        return _run(_imported("stepbench.runner.cluster_job:main"), words[1:])
    if name in {"-h", "--help"}:
        print(help_text())
        return 0
    if name == "--version":
        from stepbench import machine  # noqa: PLC0415  # only needed here

        print(f"stepbench {machine.own_version()}")
        return 0
    if name:
        error = f"error: stepbench {name}: there is no such subcommand; {suggestion(name, by_name)}"
        print(printable(error), file=sys.stderr)
    else:
        print(help_text(), file=sys.stderr)
    return USAGE_ERROR


def _run(subcommand: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Runs a subcommand, which a signal may interrupt."""
    with signals_as_ctrl_c():
        try:
            return subcommand(arguments)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED


def write_any_text() -> None:
    """Sets up the standard streams to write any text, whatever the locale.

    Files and pipes are written as UTF-8. Characters that cannot be encoded are escaped: those that
    the terminal lacks, and the parts of a file name that are not UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def help_text() -> str:
    """The text of `--help`: the list of subcommands by purpose, and the first steps."""
    width = max(len(subcommand.name) for subcommand in SUBCOMMANDS)
    lines = [
        "usage: stepbench SUBCOMMAND [OPTIONS]   (python -m stepbench is the same)",
        "",
        "Shows where the time of a PyTorch training step goes, which settings make it fastest",
        "on this machine, and whether they still train the same model.",
    ]
    for purpose, subcommands in groupby(SUBCOMMANDS, attrgetter("purpose")):
        rows = [f"  {subcommand.name:<{width}}  {subcommand.help}" for subcommand in subcommands]
        lines += ["", f"{purpose}:", *rows]
    return "\n".join([*lines, "", FIRST_STEPS, "stepbench SUBCOMMAND --help shows its options."])
