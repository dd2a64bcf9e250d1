"""The command `stepbench`: a table of subcommands, each imported when it is called."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from stepbench.errors import suggestion
from stepbench.search_path import leave_out_current_directory
from stepbench_reports.command_line import USAGE_ERROR


@dataclass(frozen=True)
class Subcommand:
    """A subcommand.

    Attributes:
        name: The name as it is typed.
        help: One line for the list of subcommands.
        function: `module:function`, imported when it is called; takes the arguments that follow
            the name and returns the exit code.
    """

    name: str
    help: str
    function: str

    def __call__(self, arguments: list[str]) -> int:
        """Runs the subcommand."""
        module, _, function = self.function.partition(":")
        code: int = getattr(import_module(module), function)(arguments)
        return code


SUBCOMMANDS = (
    Subcommand(
        "run",
        "time each phase of a training step, over a matrix of settings",
        "stepbench.benchmarks.session:main",
    ),
    Subcommand(
        "regression",
        "compare the speed of two revisions; fail if head is slower",
        "stepbench.regression.command:main",
    ),
    Subcommand(
        "report",
        "write the reports of a run or a regression check again",
        "stepbench_reports.commands:report",
    ),
    Subcommand(
        "compare",
        "compare runs, or the cases of a run",
        "stepbench_reports.commands:compare",
    ),
    Subcommand("tensorboard", "open profiled runs in TensorBoard", "stepbench.tensorboard:main"),
)
EXAMPLES = """\
examples:
  stepbench run --batch-size 32 128 --num-workers 0 2 4 --compile off
  stepbench regression --base main --workload train/bench.py:make
  stepbench compare results/latest --by num_workers
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand.

    Args:
        arguments: The command line without the program's name; `None` for `sys.argv`.

    Returns:
        The subcommand's exit code; 4 if there is no such subcommand.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    by_name = {subcommand.name: subcommand for subcommand in SUBCOMMANDS}
    name = words[0] if words else ""
    if name in by_name:
        leave_out_current_directory()
        return by_name[name](words[1:])
    if name in {"-h", "--help"}:
        print(help_text())
        return 0
    if name == "--version":
        from stepbench import machine  # noqa: PLC0415  # only needed here

        print(f"stepbench {machine.own_version()}")
        return 0
    if name:
        error = f"error: stepbench {name}: there is no such subcommand; {suggestion(name, by_name)}"
        print(error, file=sys.stderr)
    else:
        print(help_text(), file=sys.stderr)
    return USAGE_ERROR


def help_text() -> str:
    """The text of `--help`: the list of subcommands, with examples."""
    width = max(len(subcommand.name) for subcommand in SUBCOMMANDS)
    rows = [f"  {subcommand.name:<{width}}  {subcommand.help}" for subcommand in SUBCOMMANDS]
    return "\n".join(
        [
            "usage: stepbench SUBCOMMAND [OPTIONS]   (python -m stepbench is the same)",
            "",
            "Shows where the time of a PyTorch training step goes, which settings make it fastest",
            "on this machine, and whether they still train the same model.",
            "",
            "subcommands (each has a --help with examples):",
            *rows,
            "",
            EXAMPLES.rstrip(),
        ]
    )
