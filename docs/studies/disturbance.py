"""Are figures right beside a neighbour that burns both cores in bursts, or marked as disturbed?

Two cases, with and without loader workers, are measured again and again, by turns on a quiet
machine and beside a neighbour whose processes burn every core in bursts of random length. Shown is
what share of the blocks was marked, and each median step over the mean of its quiet neighbours.

Writes `disturbance.md` beside itself: `nox -s study -- disturbance`.
"""

import itertools
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.machine import cpu_name, packages, usable_cores
from stepbench.process import start
from stepbench.process.job import Job
from stepbench.process.server import Server
from stepbench.runner import preload
from stepbench_reports.analysis.stats import median_interval
from stepbench_reports.schema.measurement import Findings
from stepbench_reports.schema.run import SamplingOptions, Settings
from stepbench_reports.schema.status import Status

ROUNDS = 8
SAMPLING = SamplingOptions(max_time_s=4.0, rel_error=0.005)
CASES = (
    Case(workload="convnet", batch_size=32, num_workers=0),
    Case(workload="convnet", batch_size=32, num_workers=1),
)
THREADS = 1
"""With one for each core and workers beside them, quiet runs themselves differ by a fifth."""
HEADS = (
    "blocks marked, quiet",
    "beside the neighbour",
    "cases marked `disturbed`",
    "median step, beside / quiet",
    "furthest of those not marked",
    "furthest of the quiet ones",
)
MOST_OFF = 0.05
MOST_MARKED = 0.05

BURSTS = """
import random, sys, time
random.seed(int(sys.argv[1]))
while True:
    until = time.perf_counter() + random.uniform(0.05, 0.6)
    while time.perf_counter() < until: pass
    time.sleep(random.uniform(0.2, 1.2))
"""


@dataclass(frozen=True)
class Reading:
    """One measurement of a case.

    Attributes:
        case: Which.
        beside: Whether a neighbour was at work.
        median_s: The median step.
        blocks: How many blocks were measured.
        marked: How many of them were disturbed.
        disturbed: Whether the case says of itself that it was.
    """

    case: Case
    beside: bool
    median_s: float
    blocks: int
    marked: int
    disturbed: bool


@contextmanager
def neighbour() -> Iterator[None]:
    """Burns every core in bursts, together."""
    seed = str(secrets.randbelow(10**6))  # one seed: the bursts meet all cores at once
    burning = [
        subprocess.Popen([sys.executable, "-c", BURSTS, seed]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def measure(server: Server, case: Case, place: Path, *, beside: bool) -> Reading:
    """Measures a case once."""
    request = Request(case, SAMPLING, place, settings=Settings(threads=THREADS))
    job = Job("stepbench.measurement.measure:measure", (request,))
    outcome = server.run(job, deadline_s=300, on_progress=lambda _: None)
    if outcome.status is not Status.OK or not isinstance(outcome.result, Findings):
        raise SystemExit(f"{case.id}: {outcome.status}: {outcome.reason}\n{outcome.detail}")
    found = outcome.result
    blocks, limits = found.noise.blocks, found.noise.limits
    return Reading(
        case=case,
        beside=beside,
        median_s=statistics.median(found.laps.host["step"]),
        blocks=len(blocks),
        marked=sum(
            (block.others or 0.0) > limits.others or (block.steal or 0.0) > limits.steal
            for block in blocks
        ),
        disturbed=found.noise.disturbed,
    )


def main() -> None:
    """Runs the study and writes its table."""
    readings = []
    with tempfile.TemporaryDirectory() as scratch:
        server = start.start_server(preload.PRELOAD, sys.path, Path.cwd())
        try:
            server.wait_until_ready()
            for number in range(ROUNDS):
                for case in CASES:
                    readings.append(measure(server, case, Path(scratch), beside=False))
                    with neighbour():
                        readings.append(measure(server, case, Path(scratch), beside=True))
                print(f"round {number + 1} of {ROUNDS}", flush=True)
            # So that each noisy one has quiet ones before and after it.
            readings += [measure(server, case, Path(scratch), beside=False) for case in CASES]
        finally:
            server.close()
    met = write(readings)
    sys.exit(0 if met else 1)


def write(readings: list[Reading]) -> bool:
    """Writes the table; returns whether the aims were met."""
    rows, met = [], True
    for case in CASES:
        quiet = [r for r in readings if r.case == case and not r.beside]
        beside = [r for r in readings if r.case == case and r.beside]
        ratios = [
            noisy.median_s / statistics.mean((before.median_s, after.median_s))
            for (before, after), noisy in zip(itertools.pairwise(quiet), beside, strict=True)
        ]
        trusted = [
            ratio for ratio, noisy in zip(ratios, beside, strict=True) if not noisy.disturbed
        ]
        share = sum(r.marked for r in quiet) / sum(r.blocks for r in quiet)
        burdened = sum(r.marked for r in beside) / sum(r.blocks for r in beside)
        off = abs(statistics.median(trusted) - 1) if trusted else 0.0
        met = met and share <= MOST_MARKED and off <= MOST_OFF
        interval = median_interval(ratios)
        usual_s = statistics.median(r.median_s for r in quiet)
        furthest = [
            max((r.median_s / usual_s for r in some), key=lambda x: abs(x - 1), default=None)
            for some in ([r for r in beside if not r.disturbed], quiet)
        ]
        rows.append(
            f"| {case.id} | {share:.1%} of {sum(r.blocks for r in quiet)} "
            f"| {burdened:.0%} of {sum(r.blocks for r in beside)} "
            f"| {sum(r.disturbed for r in beside)} of {len(beside)} "
            f"| {interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f}) "
            + "".join(f"| {'none' if x is None else format(x, '.3f')} " for x in furthest)
            + "|"
        )
    text = f"""# Disturbance

Each case computes on one thread. It is measured {ROUNDS + 1} times on a quiet machine and, in
between, {ROUNDS} times beside a neighbour that burns every core in bursts of 50 to 600 ms, with
pauses of 200 to 1,200 ms. Aim: on the quiet machine at most 5 % of the blocks are marked; beside
the neighbour the median step stays within 5 % of the mean of the quiet ones before and after it,
or the case marks itself `disturbed`.

| case | {" | ".join(HEADS)} |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

The last two columns are the single medians that lie furthest from the median of the quiet ones:
what a neighbour does to a case that is not marked is to be seen beside how far quiet runs differ.

The rule looks at what processes outside the case's own tree did, and at the time stolen by the
machine's host; it knows nothing of how long a block took.

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. Repeat it with
`nox -s study -- disturbance`.
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    print("the aims are met" if met else "THE AIMS ARE NOT MET")
    return met


if __name__ == "__main__":
    main()
