"""Parts C and D of `truth.py`: how fast do processes start, and how much do they differ?"""

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
from truth_record import Aim, Part, median_interval, print_progress, span, table

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.config.turns import PlayerFacts, TakeTurn, TurnKind
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.process.start import start_server
from stepbench.runner import preload
from stepbench.scheduling.player import Limits, Player
from stepbench_reports.analysis.stats import exponential, mean_interval
from stepbench_reports.schema.run import SamplingOptions, Settings
from stepbench_reports.schema.status import Status

PLAIN = Path(__file__).with_name("truth_plain.py")
STARTS, FRESH_STARTS = 20, 5
MIN_RATIO = 50
"""The aim: a forked process starts this many times faster than a fresh interpreter."""
PROCESSES = 20
STEPS = 100
DEADLINE_S = 120.0
CASE = Case(workload="convnet", device="cpu", batch_size=32, num_workers=0)


def version(report: Callable[[str], None]) -> str:
    """The job of a child process: returns the version of torch."""
    report("started")
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
    """The results of part C: seconds until a process's first message."""

    forked: NDArray[np.float64]
    fresh: NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """The median start of a fresh interpreter over that of a forked process."""
        return float(np.median(self.fresh) / np.median(self.forked))


def measure_starts(count: int) -> Starts:
    """Runs part C."""
    print_progress("C: starting processes")
    server = _server()
    try:
        forked = []
        for _ in range(count):
            outcome = _run(server, "truth_processes:version")
            if outcome.start_s is None:
                raise RuntimeError("the child ended without a message")
            forked.append(outcome.start_s)
    finally:
        server.close()
    fresh_start()  # reads the files into memory
    fresh = [fresh_start() for _ in range(FRESH_STARTS)]
    return Starts(np.array(forked), np.array(fresh))


def fresh_start() -> float:
    """Seconds until a fresh interpreter has imported the modules that a case needs."""
    code = "import stepbench.measurement.player, torchvision; print('started', flush=True)"
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        message = child.stdout.readline() if child.stdout else ""
        elapsed_s = time.perf_counter() - began
    if message != "started\n":
        raise RuntimeError(
            "a fresh interpreter could not import stepbench.measurement.player and torchvision"
        )
    return elapsed_s


def describe_starts(starts: Starts) -> Part:
    """Part C as Markdown, with its aim."""
    rows = [
        [name, str(len(times)), *(f"{value * 1e3:,.1f} ms" for value in _summary(times))]
        for name, times in (("forked by the server", starts.forked), ("fresh", starts.fresh))
    ]
    text = f"""\
The time from requesting a process to its first message. One process is forked by stepbench's
server, which has imported torch and everything else that a case needs. The other is a fresh
interpreter that imports `stepbench.measurement.player` and `torchvision`, with files in the page
cache.

{table(["process", "starts", "median", "fastest", "slowest"], rows)}

The forked process starts {starts.ratio:.0f} times faster.
"""
    aim = Aim(
        f"a case's process starts at least {MIN_RATIO} times faster than a fresh interpreter",
        f"{starts.ratio:.0f} times",
        starts.ratio >= MIN_RATIO,
    )
    return Part("Starting a case's process", text, (aim,))


def _summary(times: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(np.median(times)), float(times.min()), float(times.max())


# --- D -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """The results of part D: the median step of each process, seconds."""

    stepbench: NDArray[np.float64]
    plain: NDArray[np.float64]


def measure_spread(processes: int) -> Spread:
    """Runs part D."""
    server = _server()
    stepbench: list[float] = []
    plain: list[float] = []
    try:
        with tempfile.TemporaryDirectory() as cache:
            request = Request(
                case=CASE,
                sampling=SamplingOptions(steps=STEPS),
                compile_cache=Path(cache),
                settings=Settings(threads=1),
            )
            for number in range(processes):
                print_progress(f"D: process {number + 1} of {processes}")
                stepbench.append(player_step(server, request))
                plain.append(plain_step())
    finally:
        server.close()
    return Spread(np.array(stepbench), np.array(plain))


def player_step(server: Server, request: Request) -> float:
    """The median step in a lapped turn of a player, in a fresh process."""
    job = Job("stepbench.measurement.player:play", (request,))
    limits = Limits(DEADLINE_S, on_progress=lambda _: None)
    with Player[PlayerFacts](server, job, limits) as player:
        player.prepare(thorough=False)
        laps = player.turn(TakeTurn(TurnKind.LAPPED, STEPS)).host
        player.finish(thorough=False)
    if laps is None:
        raise RuntimeError("the turn has no laps")
    return float(np.median(laps["step"]))


def plain_step() -> float:
    """The median step that the plain script measures, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, str(PLAIN), str(CASE.batch_size), str(STEPS)],
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def describe_spread(spread: Spread) -> Part:
    """Part D as Markdown; it has no aim."""
    rows = []
    for name, steps in (("stepbench", spread.stepbench), ("a plain script", spread.plain)):
        median = median_interval(steps)
        rows.append(
            [
                name,
                f"{median.value * 1e3:.3f} ms",
                span(median_interval(steps * 1e3), ".3f"),
                f"{relative_quartiles(steps):.1%}",
                f"{float(np.ptp(steps)) / median.value:.1%}",
            ]
        )
    ratio = exponential(mean_interval(np.log(spread.stepbench / spread.plain)))
    heads = ["measured by", "median", "95 % interval", "interquartile range", "range"]
    text = f"""\
The median step of `{CASE.id}` on one thread, {STEPS} steps in each of {len(spread.plain)}
processes. stepbench forks each process from its server. The plain script (`truth_plain.py`) has
`time.perf_counter` around the step, and runs in a fresh interpreter each time. The two take turns.

{table(heads, rows)}

stepbench's step is {ratio.value:.3f} times the plain script's ({span(ratio, ".3f")}): the
geometric mean over pairs of processes.
"""
    return Part("From process to process", text, ())


def relative_quartiles(values: NDArray[np.float64]) -> float:
    """The interquartile range as a share of the median."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float((high - low) / middle)
