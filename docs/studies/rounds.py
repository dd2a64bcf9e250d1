"""Do the intervals of paired comparisons hold what they say? Short runs with known answers.

Each run measures two workloads of `rounds_workloads.py` in turns, as `stepbench run` does, and
compares the other one with `plain`:

- `same`: the same again, whose interval should hold 1.
- `spin`: one that spins for 5 % of a step, whose interval should hold 1.05.
- `stall`: the loader of one sleeps for 30 ms in every 20th batch; the interval should lie on the
  slow side of 1.
- `apart`: twice the same, one after another (`--one-at-a-time`).

Rows are added to `rounds.jsonl` in the same directory, so that the study can be taken in parts:
`nox -s study -- rounds`, or `python docs/studies/rounds.py --parts spin --neighbour --runs 5`.
Each invocation also writes the table, `rounds.md`, from all rows.
"""

import argparse
import contextlib
import itertools
import math
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rounds_workloads
from rows import add, stored

import stepbench_reports
from stepbench.machine import cpu_name, packages, usable_cores
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run

HERE = Path(__file__).parent
WORKLOADS = HERE / "rounds_workloads.py"
PARTS = {"same": "same", "spin": "spin", "stall": "stall", "apart": "same"}
"""The workload that is compared with `plain` in each part."""
RUNS = 50
"""The number of runs of each part in each condition."""
SPIN_SHARE = 0.05
AIM_COVERAGE, AIM_HALF_WIDTH = 0.9, 0.03
BURST_S, PAUSE_S = 0.5, 1.0
"""The mean duration of a neighbour's bursts, and of the pauses between them, seconds."""


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--runs", type=int, default=RUNS, help="the runs of each part in all")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2])
    parser.add_argument(
        "--neighbour", action="store_true", help="beside a process that burns a core in bursts"
    )
    return parser.parse_args()


def burn() -> None:
    """Burns one core in bursts, without end."""
    generator = random.Random()  # noqa: S311  # not for security
    while True:
        until = time.perf_counter() + generator.expovariate(1 / BURST_S)
        while time.perf_counter() < until:
            pass
        time.sleep(generator.expovariate(1 / PAUSE_S))


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """Has a process burn a core in bursts while the context lasts."""
    process = multiprocessing.get_context("spawn").Process(target=burn, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def run(directory: Path, other: str, workers: int, spin_s: float, *more: str) -> Run:
    """Measures `plain` and another workload in one run.

    Args:
        directory: The directory of the run.
        other: The name of the other workload.
        workers: The number of loader workers.
        spin_s: The time for which a step of `spin` spins, seconds.
        more: Further options of the run.
    """
    subprocess.run(
        [
            sys.executable, "-m", "stepbench", "run",
            "--workload", *(f"{WORKLOADS}:{name}" for name in ("plain", other)),
            "--batch-size", str(rounds_workloads.BATCH_SIZE), "--num-workers", str(workers),
            "--compile", "off", "--device", "cpu", "--no-parity", "--output", str(directory), "-q",
            *more,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, rounds_workloads.SPIN_VARIABLE: str(spin_s)},
    )  # fmt: skip
    return stepbench_reports.load(directory)


def compare(part: str, workers: int, *, burst: bool, step_s: float) -> dict[str, Any]:
    """Takes one run, and returns its comparison with `plain`.

    Args:
        part: The part of the study.
        workers: The number of loader workers.
        burst: True if a neighbour burns a core in bursts.
        step_s: The duration of a step of `plain` in the run before, seconds.
    """
    spin_s = SPIN_SHARE * step_s
    apart = ("--one-at-a-time",) if part == "apart" else ()
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        measured = run(Path(scratch) / "run", PARTS[part], workers, spin_s, *apart)
    elapsed_s = time.perf_counter() - began_s
    plain, other = measured.measurements
    ratio = measured.ratio_of(other, plain, "step").interval
    discarded = sum(m.discarded_blocks for m in (plain, other))
    return {
        "part": part,
        "workers": workers,
        "burst": burst,
        "value": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "truth": truth(plain, other, spin_s) if part == "spin" else 1.0,
        "generations": len(plain.generations),
        "left_out": discarded / sum(m.checked_blocks for m in (plain, other)),
        "step_s": plain.mean_step.value,
        "elapsed_s": elapsed_s,
    }


def truth(plain: Measurement, other: Measurement, spin_s: float) -> float:
    """The ratio of the steps of a case that spins for a time, and of `plain`.

    It is over the turns that the estimate is over, in each generation: those that count, or the
    fastest ones where too few of either case's count.
    """
    ratios = []
    for key in plain.generations.keys() & other.generations.keys():
        own, others = plain.generations[key], other.generations[key]
        estimates = (
            (own.kept_s, others.kept_s),
            (own.fastest_s, others.fastest_s),
            (own.all_s, others.all_s),
        )
        step_s = next(of_plain for of_plain, of_other in estimates if of_plain + of_other > 0)
        ratios.append(1 + spin_s / step_s)
    return statistics.geometric_mean(ratios)


def met(taken: dict[str, Any]) -> bool:
    """True if the interval of a row is as it should be."""
    if taken["part"] == "stall":
        return bool(taken["low"] > 1)
    return bool(taken["low"] <= taken["truth"] <= taken["high"])


def table(rows: Iterable[dict[str, Any]]) -> str:
    """The table of all rows, in Markdown."""
    conditions: dict[tuple[str, int, bool], list[dict[str, Any]]] = {}
    for taken in rows:
        conditions.setdefault((taken["part"], taken["workers"], taken["burst"]), []).append(taken)
    lines = [
        "| runs of | workers | machine | as it should be | half-width | error | left out |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for (part, workers, burst), of_condition in sorted(conditions.items()):
        widths = [(taken["high"] - taken["low"]) / 2 / taken["value"] for taken in of_condition]
        errors = [math.log(taken["value"] / taken["truth"]) for taken in of_condition]
        error = math.sqrt(statistics.fmean(error**2 for error in errors))
        left_out = statistics.fmean(taken["left_out"] for taken in of_condition)
        lines.append(
            f"| {part} | {workers} | {'beside bursts' if burst else 'as it is'} "
            f"| {sum(map(met, of_condition))} of {len(of_condition)} "
            f"| {statistics.median(widths):.1%} "
            f"| {'' if part == 'stall' else f'{error:.1%}'} | {left_out:.0%} |"
        )
    return "\n".join(lines)


def text(rows: list[dict[str, Any]]) -> str:
    """The page."""
    return f"""# Rounds

Each row is a number of comparisons of two cases (the lesson's conv net, batch size 4), with the
default time for a case, one comparison a run. `same`
and `apart` compare a workload with itself, and the 95 % interval of the ratio of steps should hold
1; `apart` measures the two cases one after another, which is what rounds are for. In `spin` one of
them spins for 5 % of the other's step, and the interval should hold that. In `stall` the loader of
one sleeps for 30 ms in every 20th batch, and the interval should lie on
the slow side of 1. "Beside bursts" is beside a process that burns one core, half a second at a
time. The columns: the median half-width of the intervals, the root mean square of the ratios'
errors, and the share of turns that were left out.

{table(rows)}

The aims: `same` and `spin` as they should be in at least {AIM_COVERAGE:.0%}, `stall` in 9 of 10,
and a median half-width of at most {AIM_HALF_WIDTH:.0%} for `same` without workers when the machine
is quiet.

{cpu_name()}, {usable_cores()} cores, shared; torch {packages()["torch"]}. The rows are in
`rounds.jsonl`. Repeat it with `nox -s study -- rounds`.
"""


def main() -> None:
    """Takes the runs that are missing, and writes the table."""
    chosen = options()
    file = HERE / "rounds.jsonl"
    rows = stored(file)
    with neighbour() if chosen.neighbour else contextlib.nullcontext():
        for part, workers in itertools.product(chosen.parts, chosen.workers):
            while (done := taken(rows, part, workers, burst=chosen.neighbour)) < chosen.runs:
                new = compare(part, workers, burst=chosen.neighbour, step_s=last_step_s(rows))
                rows.append(new)
                add(file, [new])
                print(f"{part}, {workers} workers: {done + 1} of {chosen.runs}: {new}", flush=True)
    (HERE / "rounds.md").write_text(text(rows))
    print(table(rows))


def last_step_s(rows: Sequence[dict[str, Any]]) -> float:
    """The duration of a step of `plain` in the last run, or in a short run before the first one."""
    for row in reversed(rows):
        if "step_s" in row:
            return float(row["step_s"])
    with tempfile.TemporaryDirectory() as scratch:
        first = run(Path(scratch) / "run", "same", 0, 0.0, "--generations", "2")
    return first.measurements[0].mean_step.value


def taken(rows: Iterable[dict[str, Any]], part: str, workers: int, *, burst: bool) -> int:
    """The number of runs of a part that have been taken."""
    keys = [(row["part"], row["workers"], row["burst"]) for row in rows]
    return keys.count((part, workers, burst))


if __name__ == "__main__":
    main()
