"""Does stepbench tell the truth? Known durations, overhead, start-up and spread, measured.

Writes `truth.md` and `truth.png` beside itself: `nox -s study -- truth`. Ends with 1 where an aim
is not met. A run of some parts only, or a quick one, writes nothing unless it is told where.
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

from stepbench.machine import cpu_name, machine, usable_cores

QUICK = 7
"""Rounds of a quick run: the fewest that have an interval, and one."""


@dataclass(frozen=True)
class Plan:
    """How a part is run: how often, by what, and how it is told."""

    rounds: int
    measure: Callable[[int], Any]
    tell: Callable[[Any], Part]


PLANS = {
    "A": Plan(truth_durations.ROUNDS, truth_durations.measure, truth_durations.tell),
    "B": Plan(truth_overhead.ROUNDS, truth_overhead.measure, truth_overhead.tell),
    "C": Plan(truth_processes.STARTS, truth_processes.measure_starts, truth_processes.tell_starts),
    "D": Plan(
        truth_processes.PROCESSES, truth_processes.measure_spread, truth_processes.tell_spread
    ),
}


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PLANS, help="run these parts only")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} rounds of each part")
    parser.add_argument("--output", type=Path, help="the directory to write to")
    return parser.parse_args()


def facts() -> str:
    """The machine and what ran on it, in a line."""
    here = machine()
    return (
        f"{cpu_name()}, {usable_cores()} cores, {here.system}; Python {here.python}, "
        f"torch {torch.__version__}, Lightning {lightning.__version__}"
    )


def page(parts: list[Part], figure: Path | None) -> str:
    """The study as Markdown."""
    aims = [[aim.text, aim.found, "yes" if aim.met else "**no**"] for aim in _aims(parts)]
    picture = "" if figure is None else f"\n![The study's figure]({figure.name})\n"
    sections = "\n".join(f"## {part.title}\n\n{part.text}" for part in parts)
    return f"""# Does stepbench tell the truth?
{picture}
{table(["aim", "found", "met"], aims)}

{sections}
{facts()}. Intervals are of 95 %. Repeat it with `nox -s study -- truth`.
"""


def _aims(parts: list[Part]) -> list[Aim]:
    return [aim for part in parts for aim in part.aims]


def _place(asked: argparse.Namespace) -> Path | None:
    """Where to write, if anywhere."""
    if asked.output is not None:
        return Path(asked.output)
    return None if asked.only or asked.quick else Path(__file__).parent


def main() -> int:
    """Runs the study; 0 where every aim is met."""
    asked = options()
    plans = [PLANS[letter] for letter in asked.only or PLANS]
    found = [plan.measure(QUICK if asked.quick else plan.rounds) for plan in plans]
    parts = [plan.tell(findings) for plan, findings in zip(plans, found, strict=True)]
    place, figure = _place(asked), None
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
        figure = place / "truth.png"
        drawn = truth_plot.draw(found, facts(), figure)
        text = page(parts, figure if drawn else None)
        (place / "truth.md").write_text(text, encoding="utf-8")
    else:
        text = page(parts, None)
    print(text)
    for aim in _aims(parts):
        print(f"{'met:    ' if aim.met else 'NOT MET:'} {aim.text}: {aim.found}")
    return 0 if all(aim.met for aim in _aims(parts)) else 1


if __name__ == "__main__":
    sys.exit(main())
