"""Parts C and D of `truth.py`: how fast do cases' processes start, and how much do they differ?"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from truth_record import Aim, Part, say, span, table

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.process.start import start_server
from stepbench.runner import preload
from stepbench_reports.analysis.stats import Interval, median_interval, ratio_interval
from stepbench_reports.schema.run import SamplingOptions, Settings
from stepbench_reports.schema.status import Status

PLAIN = Path(__file__).with_name("truth_plain.py")
STARTS, FRESH_STARTS = 20, 5
SOONER = 50
"""The aim: how many times sooner a forked process starts than a fresh interpreter."""
PROCESSES = 20
STEPS = 100
DEADLINE_S = 120.0
CASE = Case(workload="convnet", device="cpu", batch_size=32, num_workers=0)


def version(report: Callable[[str], None]) -> str:
    """A child's whole job: torch is there."""
    report("looking")
    return str(torch.__version__)


def _run(server: Server, function: str, *arguments: Any) -> Outcome:
    outcome = server.run(
        Job(function, arguments), deadline_s=DEADLINE_S, on_progress=lambda _: None
    )
    if outcome.status is not Status.OK:
        raise RuntimeError(f"{function}: {outcome.reason}\n{outcome.detail}")
    return outcome


def _server() -> Server:
    server = start_server(preload.PRELOAD, sys.path, Path.cwd())
    server.wait_until_ready()
    return server


# --- C -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Starts:
    """What part C found: seconds to a process's first word."""

    forked: NDArray[np.float64]
    fresh: NDArray[np.float64]

    @property
    def sooner(self) -> Interval:
        """How many times sooner a forked one is there."""
        fresh, forked = median_interval(self.fresh), median_interval(self.forked)
        return ratio_interval(fresh, forked)


def measure_starts(starts: int) -> Starts:
    """Runs part C."""
    say("C: starting processes")
    server = _server()
    try:
        forked = []
        for _ in range(starts):
            outcome = _run(server, "truth_processes:version")
            if outcome.start_s is None:
                raise RuntimeError("the child answered before its first word")
            forked.append(outcome.start_s)
    finally:
        server.close()
    fresh_start()  # reads the files into memory
    fresh = [fresh_start() for _ in range(FRESH_STARTS)]
    return Starts(np.array(forked), np.array(fresh))


def fresh_start() -> float:
    """Seconds until a fresh interpreter has imported what a case needs."""
    code = "import stepbench.measurement.measure, torchvision; print('here', flush=True)"
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        word = child.stdout.readline() if child.stdout else ""
        elapsed_s = time.perf_counter() - began
    if word != "here\n":
        raise RuntimeError(
            "a fresh interpreter could not import stepbench.measurement.measure and torchvision"
        )
    return elapsed_s


def tell_starts(found: Starts) -> Part:
    """Part C as Markdown, with its aim."""
    sooner = float(np.median(found.fresh) / np.median(found.forked))
    rows = [
        [name, str(len(times)), *(f"{value * 1e3:,.1f} ms" for value in _shown(times))]
        for name, times in (("forked by the server", found.forked), ("fresh", found.fresh))
    ]
    text = f"""\
From asking for a process to its first word: one forked by stepbench's server, which has imported
torch and all that a case needs, against a fresh interpreter that imports
`stepbench.measurement.measure` and `torchvision`, its files in the page cache.

{table(["process", "starts", "median", "fastest", "slowest"], rows)}

That is {sooner:.0f} times sooner.
"""
    aim = Aim(
        f"a warm case's process starts at least {SOONER} times sooner than a fresh interpreter",
        f"{sooner:.0f} times",
        sooner >= SOONER,
    )
    return Part("Starting a case's process", text, (aim,))


def _shown(times: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(np.median(times)), float(times.min()), float(times.max())


# --- D -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """What part D found: each process's median step, seconds."""

    stepbench: NDArray[np.float64]
    plain: NDArray[np.float64]


def measure_spread(processes: int) -> Spread:
    """Runs part D."""
    server = _server()
    found: dict[str, list[float]] = {"stepbench": [], "plain": []}
    try:
        with tempfile.TemporaryDirectory() as cache:
            request = Request(
                case=CASE,
                sampling=SamplingOptions(steps=STEPS),
                compile_cache=Path(cache),
                settings=Settings(threads=1),
            )
            for number in range(processes):
                say(f"D: process {number + 1} of {processes}")
                findings = _run(server, "stepbench.measurement.measure:measure", request).result
                found["stepbench"].append(float(np.median(findings.laps.host["step"])))
                found["plain"].append(plain_step())
    finally:
        server.close()
    return Spread(np.array(found["stepbench"]), np.array(found["plain"]))


def plain_step() -> float:
    """The median step that a plain script of its own interpreter measures."""
    done = subprocess.run(
        [sys.executable, str(PLAIN), str(CASE.batch_size), str(STEPS)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def tell_spread(found: Spread) -> Part:
    """Part D as Markdown; it has no aim."""
    rows = []
    for name, steps in (("stepbench", found.stepbench), ("a plain script", found.plain)):
        middle = median_interval(steps)
        rows.append(
            [
                name,
                f"{middle.value * 1e3:.3f} ms",
                span(median_interval(steps * 1e3), ".3f"),
                f"{relative_quartiles(steps):.1%}",
                f"{float(np.ptp(steps)) / middle.value:.1%}",
            ]
        )
    ratio = ratio_interval(median_interval(found.stepbench), median_interval(found.plain))
    head = ["measured by", "median", "95 % interval", "interquartile range", "whole range"]
    text = f"""\
The median step of `{CASE.id}` on one thread, {STEPS} steps in each of {len(found.plain)}
processes: by stepbench, each case's process forked from its server, against a loop written by hand
with `time.perf_counter` around the step (`truth_plain.py`), each time in a fresh interpreter. The
two take turns.

{table(head, rows)}

stepbench's median is {ratio.value:.3f} of the plain script's ({span(ratio, ".3f")}).
"""
    return Part("From process to process", text, ())


def relative_quartiles(values: NDArray[np.float64]) -> float:
    """The interquartile range as a share of the median."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float((high - low) / middle)
