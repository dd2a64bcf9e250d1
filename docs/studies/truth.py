"""Is stepbench right? Measures known durations, overhead, start-up and spread.

Writes `truth.md` and `truth.png` in the same directory: `nox -s study -- truth`. The exit code is 1
if an aim is not met. A run of some parts, or a quick run, writes nothing without `--output`.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
import truth_durations
import truth_overhead
import truth_plot
import truth_processes
from truth_record import Aim, Part, table

from stepbench.machine import cpu_name, machine_facts, usable_cores

QUICK = 7
"""The rounds of a quick run: one more than an interval needs."""


@dataclass(frozen=True)
class Plan:
    """A part of the study: its rounds, its measurement and its description."""

    rounds: int
    measure: Callable[[int], Any]
    describe: Callable[[Any], Part]


PLANS = {
    "A": Plan(truth_durations.ROUNDS, truth_durations.measure, truth_durations.describe),
    "B": Plan(truth_overhead.ROUNDS, truth_overhead.measure, truth_overhead.describe),
    "C": Plan(
        truth_processes.STARTS, truth_processes.measure_starts, truth_processes.describe_starts
    ),
    "D": Plan(
        truth_processes.PROCESSES, truth_processes.measure_spread, truth_processes.describe_spread
    ),
}


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PLANS, help="run these parts only")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rounds of each part")
    parser.add_argument("--output", type=Path, help="the directory to write to")
    return parser.parse_args()


def facts() -> str:
    """The machine and the versions of libraries, in a line."""
    computer = machine_facts()
    return (
        f"{cpu_name()}, {usable_cores()} cores, {computer.system}; Python {computer.python}, "
        f"torch {torch.__version__}, Lightning {lightning.__version__}"
    )


def page(parts: list[Part], figure: Path | None) -> str:
    """The study as Markdown."""
    aims = [[aim.text, aim.result, "yes" if aim.met else "**no**"] for aim in _aims(parts)]
    picture = "" if figure is None else f"\n![The study's figure]({figure.name})\n"
    sections = "\n".join(f"## {part.title}\n\n{part.text}" for part in parts)
    return f"""# Is stepbench right?
{picture}
{table(["aim", "result", "met"], aims)}

{sections}
{facts()}. Intervals are 95 % intervals. Repeat it with `nox -s study -- truth`.
"""


def _aims(parts: list[Part]) -> list[Aim]:
    return [aim for part in parts for aim in part.aims]


def _output_directory(arguments: argparse.Namespace) -> Path | None:
    """The directory to write to; `None` to write nothing."""
    if arguments.output is not None:
        return Path(arguments.output)
    return None if arguments.only or arguments.quick else Path(__file__).parent


def main() -> int:
    """Runs the study; returns 0 if every aim is met."""
    arguments = options()
    plans = [PLANS[letter] for letter in arguments.only or PLANS]
    results = [plan.measure(QUICK if arguments.quick else plan.rounds) for plan in plans]
    parts = [plan.describe(result) for plan, result in zip(plans, results, strict=True)]
    directory, figure = _output_directory(arguments), None
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        figure = directory / "truth.png"
        drawn = truth_plot.draw(results, facts(), figure)
        text = page(parts, figure if drawn else None)
        (directory / "truth.md").write_text(text, encoding="utf-8")
    else:
        text = page(parts, None)
    print(text)
    for aim in _aims(parts):
        print(f"{'met:    ' if aim.met else 'NOT MET:'} {aim.text}: {aim.result}")
    return 0 if all(aim.met for aim in _aims(parts)) else 1


if __name__ == "__main__":
    sys.exit(main())
