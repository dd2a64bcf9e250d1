"""Do hooks find the phases of a script, and what do they cost?

Loops in several styles, and those of libraries, are timed by hand and by hooks in the same steps.
The cost of hooks is that of a plain loop by its own clock, with hooks installed and removed in
alternating blocks of one process; beside it TraceML's, on the same loop.

Writes `scripts.md` in the same directory: `nox -s study -- scripts`.
"""

import contextlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from scipy.stats import mstats
from scripts_libraries import LIBRARIES
from scripts_styles import STYLES, Hand, backward, batches, loss_of, net
from torch import nn

from stepbench.machine import cpu_name, packages, usable_cores
from stepbench.scripts.classify import split
from stepbench.scripts.roles import recognise
from stepbench.scripts.worker.boundaries import Boundaries, Observer
from stepbench.scripts.worker.discovery import CallMarker
from stepbench.scripts.worker.recorder import Recorder
from stepbench_reports.schema.script import EVALUATION

WARM_STEPS, STEPS = 50, 400
BLOCKS, BLOCK_WARM_STEPS, BLOCK_STEPS, TRIMMED = 800, 4, 16, 0.1
STEP_S, BATCH_STEP = 1.4e-3, 8
"""The step in which the cost of hooks is measured, seconds, and the growth of its batch."""
MAX_DIFFERENCE, MAX_OVERHEAD = 0.03, 0.01
HERE = Path(__file__).resolve().parent
PAGE = HERE / "scripts.md"
Cost = tuple[float, ...]
"""A cost as a share of the step, and the ends of its 95 % interval."""


class Hooks:
    """Hooks in this process.

    Args:
        model: The model whose calls are marked.
    """

    def __init__(self, model: nn.Module) -> None:
        self.recorder = Recorder(self._begin_stretch)
        self._boundaries = Boundaries(self.recorder, Observer())
        self._marker = CallMarker(self.recorder, lambda *_: False)
        self._model = model
        self._installed = False

    def _begin_stretch(self) -> None:
        """Has the steps that follow be counted only, as most are."""
        self.recorder.begin_stretch(sys.maxsize)

    def install(self) -> None:
        """Installs the hooks."""
        self._installed = True
        self.recorder.begin_stretch(1)
        self._boundaries.install()
        self._marker.watch(self._model)

    def remove(self) -> None:
        """Removes them, if they are installed, and drops the marks."""
        if not self._installed:
            return
        self._installed = False
        self._boundaries.remove()
        self._marker.unwatch(self._model)
        self.recorder.take()


class EnoughStepsError(Exception):
    """Ends a loop."""


def differences(name: str) -> dict[str, float]:
    """The difference of each phase between hooks and hand, as a share of the step."""
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    hooks, hand = Hooks(model), Hand()
    hooks.install()
    taken = itertools.count(1)

    def on_step() -> None:
        number = next(taken)
        if number == WARM_STEPS:
            hooks.recorder.take()
            hooks.recorder.resume()
            hand.sums.clear()
            hand.at = time.perf_counter()
        if number == WARM_STEPS + STEPS:
            raise EnoughStepsError

    with contextlib.suppress(EnoughStepsError):
        if name in LIBRARIES:
            LIBRARIES[name](model, optimizer, hand, on_step)
        else:
            for _ in STYLES[name](model, optimizer, hand):
                on_step()
    marks = hooks.recorder.take()[0]
    hooks.remove()
    steps = split(marks, recognise(marks))
    if len(steps) != STEPS:
        raise RuntimeError(f"{name}: {len(steps)} steps were found, not {STEPS}")
    step_s = sum(seconds for phase, seconds in hand.sums.items() if phase != EVALUATION)
    return {
        phase: (sum(step.parts.get(phase, 0.0) for step in steps) / 1e9 - hand.sums.get(phase, 0.0))
        / step_s
        for phase in sorted({*hand.sums, *(part for step in steps for part in step.parts)})
    }


def overhead(
    install: Callable[[], None], remove: Callable[[], None], step: Callable[[], None]
) -> tuple[float, Cost]:
    """The step without hooks, seconds, and the cost of hooks with its 95 % interval, a share.

    Args:
        install: Installs the hooks.
        remove: Removes them.
        step: Takes a step.
    """
    ratios, plain_s = list[float](), list[float]()
    for block in range(BLOCKS):
        steps_s: dict[bool, float] = {}
        for hooked in (True, False) if block % 2 else (False, True):
            (install if hooked else remove)()
            for _ in range(BLOCK_WARM_STEPS):
                step()
            steps_s[hooked] = quick_step(step)
        ratios.append(steps_s[True] / steps_s[False])
        plain_s.append(steps_s[False])
    remove()
    logs = [math.log(ratio) for ratio in ratios]
    limits = (TRIMMED, TRIMMED)
    low, high = mstats.trimmed_mean_ci(logs, limits)
    ends = (float(mstats.trimmed_mean(logs, limits)), float(low), float(high))
    return statistics.median(plain_s), tuple(map(math.expm1, ends))


def quick_step(step: Callable[[], None]) -> float:
    """The lower quartile of a block's steps, seconds: other programs slow steps, and no more."""
    times: list[float] = []
    for _ in range(BLOCK_STEPS):
        began_s = time.perf_counter()
        step()
        times.append(time.perf_counter() - began_s)
    return statistics.quantiles(times, n=4)[0]


def plain_step(model: nn.Module, batch_size: int) -> Callable[[], None]:
    """A step of the plain loop."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    source: Iterator[Any] = batches(batch_size)

    def step() -> None:
        optimizer.zero_grad()
        backward(loss_of(model, next(source)))
        optimizer.step()

    return step


def fitting_batch() -> int:
    """The smallest batch size with which a step takes `STEP_S` on this machine."""
    for size in itertools.count(BATCH_STEP, BATCH_STEP):
        if quick_step(plain_step(net(), size)) >= STEP_S:
            return size
    raise AssertionError("batch sizes have no end")


def traceml_costs(batch_size: int) -> Iterator[tuple[str, Cost]]:
    """The cost of TraceML on the same loop, which its own command starts, as users do."""
    for mode in ("manual", "auto"):
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "cost.json"
            files = ("--logs-dir", folder)
            subprocess.run(
                [
                    str(Path(sys.executable).with_name("traceml")),
                    *("run", str(HERE / "scripts_traceml.py"), "--mode", "summary", *files),
                    *("--args", mode, str(batch_size), str(result)),
                ],
                env={**os.environ, "PYTHONPATH": str(HERE)},
                check=True,
            )
            yield f"TraceML, {mode}", tuple(json.loads(result.read_text()))


def main() -> None:
    """Takes all measurements, and writes the page."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [(name, differences(name)) for name in (*STYLES, *LIBRARIES)]
    model = net()
    hooks = Hooks(model)
    batch_size = fitting_batch()
    step_s, cost = overhead(hooks.install, hooks.remove, plain_step(model, batch_size))
    print(rows, batch_size, step_s, cost)
    costs = [("stepbench's hooks", cost), *traceml_costs(batch_size)]
    PAGE.write_text(page(rows, step_s, costs))
    print(PAGE.read_text())


def page(
    rows: list[tuple[str, dict[str, float]]],
    step_s: float,
    costs: list[tuple[str, Cost]],
) -> str:
    """Writes the results out."""
    worst = max(abs(share) for _, row in rows for share in row.values())
    phases = ("dataload", "forward", "backward", "optimizer", "other", EVALUATION)
    agrees = "passes" if worst <= MAX_DIFFERENCE else "does not pass"
    cheap = "Passes" if costs[0][1][2] <= MAX_OVERHEAD else "Does not pass"
    table = [
        f"| {name} | {' | '.join(f'{row.get(phase, 0.0):+.2%}' for phase in phases)} |"
        for name, row in rows
    ]
    cost_rows = [
        f"| {name} | {cost:+.2%} | {low:+.2%} to {high:+.2%} |" for name, (cost, low, high) in costs
    ]
    return f"""\
# Scripts

Do hooks find the phases of a script, and what do they cost? Repeat it with
`nox -s study -- scripts`. Measured on {cpu_name()}, {usable_cores()} cores, with one thread, and
torch {packages().get("torch")}.

## Phases by hooks, less phases by hand

In the same {STEPS} steps, as a share of the step. Asked is at most {MAX_DIFFERENCE:.0%}; the
largest is {worst:.2%}: {agrees}.

| style | {" | ".join(phases)} |
| --- |{" ---: |" * len(phases)}
{chr(10).join(table)}

## The cost of hooks

A plain loop whose batch was chosen so that a step takes {STEP_S * 1e3:.1f} ms here, by its own
clock: the lower quartile of the steps in {BLOCKS} pairs of blocks of {BLOCK_STEPS} steps, with
hooks installed and removed in turn, and of the pairs the mean without the {TRIMMED:.0%} at either
end, since other programs slow steps and blocks. A step without hooks took {step_s * 1e3:.2f} ms.
Asked is an upper end of at most {MAX_OVERHEAD:.0%}. {cheap}.

| hooks | cost | 95 % interval |
| --- | ---: | ---: |
{chr(10).join(cost_rows)}
"""


if __name__ == "__main__":
    main()
