"""Are measurements beside a busy neighbour right, or marked as interfered with?

Two cases, with and without loader workers, are measured in turns on a quiet machine and beside a
neighbour: processes that keep every core busy in bursts of random length. The study shows the share
of blocks that were marked, and the median steps relative to quiet measurements.

Writes `interference.md` in the same directory: `nox -s study -- interference`.
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
"""With a thread for each core, beside loader workers, quiet runs differ by a fifth."""
HEADS = (
    "blocks marked, quiet",
    "with neighbour",
    "cases marked `interference`",
    "median step, neighbour / quiet",
    "most extreme, not marked",
    "most extreme, quiet",
)
MAX_ERROR = 0.05
MAX_MARKED = 0.05

BURSTS = """
import random, sys, time
random.seed(int(sys.argv[1]))
while True:
    end = time.perf_counter() + random.uniform(0.05, 0.6)
    while time.perf_counter() < end: pass
    time.sleep(random.uniform(0.2, 1.2))
"""


@dataclass(frozen=True)
class Sample:
    """One measurement of a case.

    Attributes:
        case: The case.
        neighbour: True if a neighbour was running.
        median_s: The median step, seconds.
        blocks: The number of measured blocks.
        marked: The number of blocks with interference.
        interference: True if the case is marked `interference`.
    """

    case: Case
    neighbour: bool
    median_s: float
    blocks: int
    marked: int
    interference: bool


@contextmanager
def run_neighbour() -> Iterator[None]:
    """Keeps every core busy in bursts."""
    seed = str(secrets.randbelow(10**6))  # the same seed, so bursts are on all cores at once
    processes = [
        subprocess.Popen([sys.executable, "-c", BURSTS, seed]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(server: Server, case: Case, cache: Path, *, neighbour: bool) -> Sample:
    """Measures a case once."""
    request = Request(case, SAMPLING, cache, settings=Settings(threads=THREADS))
    job = Job("stepbench.measurement.measure:measure", (request,))
    outcome = server.run(job, deadline_s=300, on_progress=lambda _: None)
    if outcome.status is not Status.OK or not isinstance(outcome.result, Findings):
        raise SystemExit(f"{case.id}: {outcome.status}: {outcome.reason}\n{outcome.detail}")
    findings = outcome.result
    blocks, limits = findings.noise.blocks, findings.noise.limits
    return Sample(
        case=case,
        neighbour=neighbour,
        median_s=statistics.median(findings.laps.host["step"]),
        blocks=len(blocks),
        marked=sum(
            (block.others or 0.0) > limits.others or (block.steal or 0.0) > limits.steal
            for block in blocks
        ),
        interference=findings.noise.interference,
    )


def main() -> None:
    """Runs the study and writes its table."""
    samples = []
    with tempfile.TemporaryDirectory() as scratch:
        server = start.start_server(preload.PRELOAD, sys.path, Path.cwd())
        try:
            server.wait_until_ready()
            for number in range(ROUNDS):
                for case in CASES:
                    samples.append(measure(server, case, Path(scratch), neighbour=False))
                    with run_neighbour():
                        samples.append(measure(server, case, Path(scratch), neighbour=True))
                print(f"round {number + 1} of {ROUNDS}", flush=True)
            # A last quiet sample, so that each noisy sample has one before and one after it.
            samples += [measure(server, case, Path(scratch), neighbour=False) for case in CASES]
        finally:
            server.close()
    met = write(samples)
    sys.exit(0 if met else 1)


def write(samples: list[Sample]) -> bool:
    """Writes the table; returns `True` if all aims are met."""
    rows, met = [], True
    for case in CASES:
        quiet = [s for s in samples if s.case == case and not s.neighbour]
        noisy = [s for s in samples if s.case == case and s.neighbour]
        ratios = [
            sample.median_s / statistics.mean((before.median_s, after.median_s))
            for (before, after), sample in zip(itertools.pairwise(quiet), noisy, strict=True)
        ]
        unmarked = [
            ratio for ratio, sample in zip(ratios, noisy, strict=True) if not sample.interference
        ]
        quiet_share = sum(s.marked for s in quiet) / sum(s.blocks for s in quiet)
        noisy_share = sum(s.marked for s in noisy) / sum(s.blocks for s in noisy)
        error = abs(statistics.median(unmarked) - 1) if unmarked else 0.0
        met = met and quiet_share <= MAX_MARKED and error <= MAX_ERROR
        interval = median_interval(ratios)
        quiet_s = statistics.median(s.median_s for s in quiet)
        extremes = [
            max((s.median_s / quiet_s for s in group), key=lambda x: abs(x - 1), default=None)
            for group in ([s for s in noisy if not s.interference], quiet)
        ]
        rows.append(
            f"| {case.id} | {quiet_share:.1%} of {sum(s.blocks for s in quiet)} "
            f"| {noisy_share:.0%} of {sum(s.blocks for s in noisy)} "
            f"| {sum(s.interference for s in noisy)} of {len(noisy)} "
            f"| {interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f}) "
            + "".join(f"| {'none' if x is None else format(x, '.3f')} " for x in extremes)
            + "|"
        )
    text = f"""# Interference

Each case computes on one thread. It is measured {ROUNDS + 1} times on a quiet machine and, in
between, {ROUNDS} times beside a neighbour: processes that keep every core busy in bursts of 50 to
600 ms, with pauses of 200 to 1,200 ms. Aims: on the quiet machine, at most 5 % of the blocks are
marked. Beside the neighbour, the median step stays within 5 % of the mean of the quiet
measurements before and after it, or the case is marked `interference`.

| case | {" | ".join(HEADS)} |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

The last two columns show the median step that is furthest from the median of the quiet
measurements, as a ratio to it: how much a neighbour changes a case that is not marked, and how much
quiet measurements differ.

Blocks are marked by the use of the processor outside the case's process tree, and by the time that
the machine's host steals. How long a block took does not matter.

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. Repeat it with
`nox -s study -- interference`.
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    print("All aims are met." if met else "AN AIM IS NOT MET.")
    return met


if __name__ == "__main__":
    main()
