"""Do the intervals of paired comparisons hold what they say? Runs of two cases, one ratio a run.

Each run measures two workloads of `rounds_workloads.py` in turns, as `stepbench run` does:

- `same`: twice the same; the interval should hold 1.
- `spin`: one spins for 5 % of the other's step; the interval should hold 1.05.
- `stall`: the loader of one sleeps for 30 ms in every 20th batch; the interval should lie on the
  slow side of 1.
- `apart`: twice the same, one after another (`--one-at-a-time`).

Rows are added to `rounds.jsonl` in the same directory, so that the study can be taken in parts:
`nox -s study -- rounds`, or `python docs/studies/rounds.py --parts same --neighbour --runs 5`. Each
invocation also writes the table, `rounds.md`, from all rows.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import rounds_workloads

import stepbench_reports
from stepbench.machine import cpu_name, packages, usable_cores
from stepbench_reports.read.run import Run

HERE = Path(__file__).parent
WORKLOADS = HERE / "rounds_workloads.py"
PARTS = ("same", "spin", "stall", "apart")
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


def run(scratch: Path, second: str, workers: int, spin_s: float, *arguments: str) -> Run:
    """Measures `plain` and a second workload in one run.

    Args:
        scratch: A directory for the run.
        second: The name of the second workload.
        workers: The number of loader workers.
        spin_s: The time for which a step of `spin` spins, seconds.
        arguments: Further options of the run.
    """
    subprocess.run(
        [
            sys.executable, "-m", "stepbench", "run",
            "--workload", f"{WORKLOADS}:plain", f"{WORKLOADS}:{second}",
            "--batch-size", str(rounds_workloads.BATCH_SIZE), "--num-workers", str(workers),
            "--compile", "off", "--device", "cpu", "--no-parity", "--output", str(scratch), "-q",
            *arguments,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, rounds_workloads.SPIN_VARIABLE: str(spin_s)},
    )  # fmt: skip
    return stepbench_reports.load(scratch)


def row(part: str, workers: int, *, burst: bool) -> dict[str, Any]:
    """Takes one run, and returns its comparison."""
    second = "same" if part == "apart" else part
    spin_s = 0.0
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        if part == "spin":
            first = run(Path(scratch) / "first", "same", workers, 0.0, "--generations", "2")
            spin_s = SPIN_SHARE * first.measurements[0].mean_step.value
        apart = ("--one-at-a-time",) if part == "apart" else ()
        measured = run(Path(scratch) / "run", second, workers, spin_s, *apart)
    plain, other = measured.measurements
    ratio = measured.ratio_of(other, plain, "step").interval
    truth = 1 + spin_s / plain.mean_step.value
    discarded = sum(m.discarded_blocks for m in (plain, other))
    return {
        "part": part,
        "workers": workers,
        "burst": burst,
        "value": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "truth": truth,
        "generations": len(plain.generations),
        "left_out": discarded / sum(m.checked_blocks for m in (plain, other)),
        "elapsed_s": time.perf_counter() - began_s,
    }


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

Each row is a number of runs of two cases (the lesson's conv net, batch size 4), with the default
time for a case. `same` and `apart` compare a workload with itself, and the 95 % interval of the
ratio of steps should hold 1; `apart` measures the two cases one after another, which is what rounds
are for. In `spin` one of them spins for 5 % of the other's step, and the interval should hold that.
In `stall` the loader of one sleeps for 30 ms in every 20th batch, and the interval should lie on
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
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    with neighbour() if chosen.neighbour else contextlib.nullcontext():
        for part in chosen.parts:
            for workers in chosen.workers:
                key = (part, workers, chosen.neighbour)
                done = sum((r["part"], r["workers"], r["burst"]) == key for r in rows)
                for number in range(done, chosen.runs):
                    rows.append(row(part, workers, burst=chosen.neighbour))
                    with file.open("a") as stream:
                        stream.write(json.dumps(rows[-1]) + "\n")
                    print(f"{part}, {workers} workers: {number + 1} of {chosen.runs}: {rows[-1]}")
    (HERE / "rounds.md").write_text(text(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
