"""Measures a step's fixed cost, and the duration of a step without data loading.

The fixed cost of forward and backward is independent of the batch size: Python, dispatch, kernel
launches. It is extrapolated to a batch of no samples from the whole batch and one that is cut to 1
sample, or to more if the model refuses 1 (see `stepbench_reports.analysis.launches`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stepbench.config.case import Case
from stepbench.interference.watch import Watch, until_quiet
from stepbench.measurement.laps import LapArrays
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.training.batch import cut
from stepbench_reports.analysis.launches import fixed_cost_s
from stepbench_reports.schema.measurement import LaunchOverhead
from stepbench_reports.schema.phases import Phase

MIN_STEPS = 20
BLOCK_S = 0.15
"""The approximate duration of a timed block, seconds."""
BATCH_SIZE_ERRORS = (RuntimeError, ValueError, IndexError, AssertionError)
"""The errors that a model may raise for a cut batch."""
CUT_SIZES = (1, 2, 4)
"""The sizes to which a batch is cut; the first one that the model accepts is used."""


def unknown(reason: str) -> LaunchOverhead:
    """A result without figures, with the reason."""
    return LaunchOverhead(batch_size=None, forward_s=None, backward_s=None, reason=reason)


def launch_overhead(
    timed_loop: TimedLoop,
    batch: Any,  # noqa: ANN401  # a batch is anything
    batch_size: int,
    laps: Mapping[str, float],
) -> LaunchOverhead:
    """Measures the fixed cost of forward and backward.

    Args:
        timed_loop: The loop that was measured. Its model is trained further, on cut batches.
        batch: A batch, as the loader yields it.
        batch_size: The number of samples in that batch.
        laps: The durations of forward and backward on such a batch, seconds, by phase.
    """
    if batch_size == 1:
        return unknown("the batch size is already 1")
    reason = "no tensor of the batch has the samples in its first dimension"
    for size in CUT_SIZES:
        small = cut(batch, batch_size, size)
        if size >= batch_size or small is None:
            break
        try:
            medians = _medians(replace(timed_loop, source=RepeatedBatch(small)))
        except BATCH_SIZE_ERRORS as error:
            # Batch norm, for one, refuses to train on a single value per channel.
            reason = f"the model does not accept a batch of {size}: {error}"
            continue
        fixed_s = {
            phase: fixed_cost_s(tiny_s, laps[phase], size, batch_size)
            for phase, tiny_s in medians.items()
        }
        return LaunchOverhead(
            batch_size=size,
            forward_s=fixed_s.get(Phase.FORWARD, 0.0),
            backward_s=fixed_s.get(Phase.BACKWARD, 0.0),
        )
    return unknown(" ".join(reason.split()))


def unloaded_step_s(timed_loop: TimedLoop, batch: Any) -> float:  # noqa: ANN401  # a batch is anything
    """Measures the duration of a step without data loading, seconds: one batch is repeated.

    Args:
        timed_loop: The loop that was measured. Its model is trained further, on this batch.
        batch: A batch, as the loader yields it.
    """
    unloaded = replace(timed_loop, source=RepeatedBatch(batch))
    unloaded.run(3)
    trial = unloaded.bare(2)
    steps = max(5, round(BLOCK_S / trial.elapsed_s * trial.steps))
    block = unloaded.bare(steps)
    return block.elapsed_s / block.steps


def _medians(timed_loop: TimedLoop) -> dict[str, float]:
    """The median seconds of forward and, in training, of backward, for one batch."""
    timed_loop.run(3)
    trial = timed_loop.bare(1)
    steps = max(MIN_STEPS, round(BLOCK_S / trial.elapsed_s))
    _, laps = timed_loop.lapped(steps)
    durations = laps.device or laps.host
    return {
        phase: float(np.median(durations[phase])) / timed_loop.training.accumulate
        for phase in (Phase.FORWARD, Phase.BACKWARD)
        if phase in durations
    }


def launch_overhead_of(
    timed_loop: TimedLoop,
    watch: Watch,
    case: Case,
    batch: Any,  # noqa: ANN401  # a batch is anything
    laps: LapArrays,
) -> LaunchOverhead:
    """The fixed cost of a case's step, or the reason why it is unknown."""
    if case.compile != "off":
        return unknown("a smaller batch would recompile the model")
    durations = laps.device or laps.host
    medians = {
        str(phase): float(np.median(durations[phase])) / case.accumulate
        for phase in (Phase.FORWARD, Phase.BACKWARD)
        if phase in durations
    }
    overhead, quiet = until_quiet(
        watch, lambda: launch_overhead(timed_loop, batch, case.batch_size, medians)
    )
    return overhead if quiet else unknown("other processes kept the machine busy")
