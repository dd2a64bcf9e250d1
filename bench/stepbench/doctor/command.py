"""`stepbench doctor`: checks what this machine can measure, and prints what to do."""

import argparse
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stepbench.config.values import duration
from stepbench.doctor import compiler, noise, system_checks
from stepbench.doctor.diagnosis import Ability, Diagnosis
from stepbench.doctor.torch_checks import check_torch
from stepbench.errors import UsageError
from stepbench.runner.terminal import LiveLine
from stepbench_reports.command_line import USAGE_ERROR, Parser, print_error

MAX_NOISE_S = 3600.0
"""The longest time of watching the machine, seconds."""
NOTHING_MEASURED = 1
"""The exit code if stepbench cannot measure anything on this machine."""
STYLES = {Ability.OK: "green", Ability.LIMITED: "yellow", Ability.MISSING: "yellow"}
EPILOG = """\
examples:
  stepbench doctor                 all checks, in some 15 seconds
  stepbench doctor --noise 60      watch a shared machine for a minute
  stepbench doctor > doctor.txt    for a bug report

What is missing limits what can be measured, and is no error: without a GPU, cases run on the CPU.
One check connects to two hosts on the internet, to see if TensorBoard's pages can load scripts.

exit codes: 0 stepbench can measure, 1 it cannot measure anything, 4 wrong usage.
"""


def main(arguments: Sequence[str]) -> int:
    """Runs all checks, and prints a table of the results.

    Args:
        arguments: The command line after `stepbench doctor`.

    Returns:
        The exit code.
    """
    given = parser().parse_args(list(arguments)).noise
    try:
        noise_s = duration("--noise", given, noise.NOISE_S, MAX_NOISE_S)
    except UsageError as error:
        print_error(error)
        return USAGE_ERROR
    console = Console(highlight=False)
    line = LiveLine(console)  # which is drawn by no thread: a thread would be noise
    with line.shown():
        diagnoses = check_machine(noise_s, lambda activity: line.draw(Text(activity, style="dim")))
    console.print(table(diagnoses))
    if any(diagnosis.prevents_measuring for diagnosis in diagnoses):
        console.print("\nstepbench cannot measure anything on this machine.")
        return NOTHING_MEASURED
    console.print("\nstepbench can measure on this machine. First run: stepbench run --steps 20")
    return 0


def check_machine(noise_s: float, on_progress: Callable[[str], None]) -> tuple[Diagnosis, ...]:
    """Runs all checks.

    Args:
        noise_s: The time of watching what else the machine does, seconds.
        on_progress: Called with a few words on the current activity.
    """
    of_torch = check_torch(on_progress)
    on_progress("compiling a small program")
    of_compiler = compiler.check_compiler()
    on_progress("asking the system")
    of_system = (
        system_checks.check_cores(),
        system_checks.check_shared_memory(),
        system_checks.check_energy(),
        system_checks.check_tensorboard(),
    )
    on_progress(f"watching the machine for {noise_s:g} s")
    return (*of_torch, of_compiler, *of_system, noise.check_noise(noise_s))


def table(diagnoses: Iterable[Diagnosis]) -> Table:
    """Makes a table with a row for each diagnosis, which fits 80 columns."""
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for diagnosis in diagnoses:
        text = Text(diagnosis.finding)
        if diagnosis.remedy is not None:
            text.append(f"\nTo do: {diagnosis.remedy}", style="dim")
        style = "red" if diagnosis.prevents_measuring else STYLES[diagnosis.ability]
        grid.add_row(diagnosis.name, Text(diagnosis.ability, style=style), text)
    return grid


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line, with its help."""
    command_line = Parser(
        prog="stepbench doctor",
        description="Checks what this machine can and cannot measure, and says what to do about "
        "it.",
        epilog=EPILOG,
    )
    command_line.add_argument(
        "--noise",
        metavar="TIME",
        help=f"watch what else the machine does for so long (default {noise.NOISE_S:g} s)",
    )
    return command_line
