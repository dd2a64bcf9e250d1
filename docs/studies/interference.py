"""Does a busy neighbour change what a run says of its cases?

Two cases, with and without a loader worker, are measured in turns: in runs on a quiet machine, and
in runs beside a neighbour, processes that keep every core busy in bursts of random length. The
study shows the share of turns that were left out, and both throughputs and the ratio of the cases
relative to the quiet runs before and after.

Writes `interference.md` in the same directory: `nox -s study -- interference`.
"""

import itertools
import math
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import stepbench_reports
from stepbench.machine import cpu_name, packages, usable_cores
from stepbench_reports.read.run import Run

ROUNDS = 8
MAX_TIME_S = 15.0
"""The time of sampling for each case, seconds; a run has two cases."""
CASES = ("convnet-cpu-b32-w0-off-fp32", "convnet-cpu-b32-w1-off-fp32")
THREADS = 1
"""With a thread for each core, beside loader workers, quiet runs differ by a fifth."""
MAX_ERROR = 0.05
MAX_LEFT_OUT = 0.05

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
    """A run of the two cases.

    Attributes:
        neighbour: True if a neighbour was running.
        samples_per_s: The throughput of each case, in the order of `CASES`.
        ratio: The throughput of the second case over that of the first, paired.
        half_width: Half the width of the ratio's 95 % interval, as a share.
        turns: The number of turns of both cases.
        left_out: The number of turns that were left out.
        interference: The number of cases that are marked `interference`.
    """

    neighbour: bool
    samples_per_s: tuple[float, ...]
    ratio: float
    half_width: float
    turns: float
    left_out: float
    interference: int


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


def measure(*, neighbour: bool) -> Sample:
    """Measures both cases once, in a run."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "run"
        subprocess.run(
            [
                sys.executable, "-m", "stepbench", "run", "--workload", "convnet", "--batch-size",
                "32", "--num-workers", "0", "1", "--compile", "off", "--device", "cpu",
                "--threads", str(THREADS), "--max-time", str(MAX_TIME_S), "--no-parity",
                "--output", str(directory), "-q",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return sample(stepbench_reports.load(directory), neighbour=neighbour)


def sample(run: Run, *, neighbour: bool) -> Sample:
    """The figures of a run."""
    first, second = (run.case(name) for name in CASES)
    ratio = run.ratio(second.id, first.id)
    return Sample(
        neighbour=neighbour,
        samples_per_s=(first.samples_per_s.value, second.samples_per_s.value),
        ratio=ratio.value,
        half_width=ratio.relative_half_width,
        turns=first.checked_blocks + second.checked_blocks,
        left_out=first.discarded_blocks + second.discarded_blocks,
        interference=first.interference + second.interference,
    )


def main() -> None:
    """Runs the study and writes its table."""
    samples = []
    for number in range(ROUNDS):
        samples.append(measure(neighbour=False))
        with run_neighbour():
            samples.append(measure(neighbour=True))
        print(f"round {number + 1} of {ROUNDS}", flush=True)
    # A last quiet run, so that each noisy run has one before and one after it.
    samples.append(measure(neighbour=False))
    sys.exit(0 if write(samples) else 1)


def relative(samples: Sequence[Sample], figure: Callable[[Sample], float]) -> list[float]:
    """A figure beside the neighbour over its mean in the quiet runs before and after."""
    quiet = [figure(s) for s in samples if not s.neighbour]
    noisy = [figure(s) for s in samples if s.neighbour]
    return [
        value / statistics.geometric_mean(around)
        for around, value in zip(itertools.pairwise(quiet), noisy, strict=True)
    ]


def write(samples: Sequence[Sample]) -> bool:
    """Writes the tables; returns `True` if all aims are met."""
    rows = []
    for name, figure in (
        (f"samples/s, `{CASES[0]}`", lambda s: s.samples_per_s[0]),
        (f"samples/s, `{CASES[1]}`", lambda s: s.samples_per_s[1]),
        ("the ratio of both", lambda s: s.ratio),
    ):
        ratios = relative(samples, figure)
        worst = max(ratios, key=lambda ratio: abs(math.log(ratio)))
        rows.append(f"| {name} | {statistics.median(ratios):.3f} | {worst:.3f} |")
    machines, left_out = [], {}
    for neighbour, name in ((False, "quiet"), (True, "beside the neighbour")):
        of_kind = [s for s in samples if s.neighbour is neighbour]
        turns = sum(s.turns for s in of_kind)
        left_out[neighbour] = sum(s.left_out for s in of_kind) / turns
        machines.append(
            f"| {name} | {len(of_kind)} | {left_out[neighbour]:.1%} of {turns:,.0f} "
            f"| {sum(s.interference for s in of_kind)} of {2 * len(of_kind)} "
            f"| ±{statistics.median(s.half_width for s in of_kind):.1%} |"
        )
    error = abs(statistics.median(relative(samples, lambda s: s.ratio)) - 1)
    met = left_out[False] <= MAX_LEFT_OUT and error <= MAX_ERROR
    text = f"""# Interference

Two cases, each on one thread, are measured in turns: in {ROUNDS + 1} runs on a quiet machine and,
in between, in {ROUNDS} runs beside a neighbour, processes that keep every core busy in bursts of 50
to 600 ms, with pauses of 200 to 1,200 ms. Aims: on the quiet machine, at most
{MAX_LEFT_OUT:.0%} of the turns are left out. Beside the neighbour, the ratio of the two cases stays
within {MAX_ERROR:.0%} of that of the quiet runs before and after it, in the median.

| the machine | runs | turns left out | cases marked `interference` | ratio's interval, median |
| --- | ---: | ---: | ---: | ---: |
{chr(10).join(machines)}

What the neighbour changes, relative to the quiet runs before and after:

| figure | median | most extreme |
| --- | ---: | ---: |
{chr(10).join(rows)}

samples/s is what training got, so a neighbour that takes cores lowers it. Turns are left out by the
time for which their threads waited for a core, and by what other processes took. How long a turn
took does not matter.

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. Repeat it with
`nox -s study -- interference`.
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    print("All aims are met." if met else "AN AIM IS NOT MET.")
    return met


if __name__ == "__main__":
    main()
