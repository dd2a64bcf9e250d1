"""Measures a step's fixed cost, and the duration of a step without data loading.

The fixed cost of forward and backward is independent of the batch size: Python, dispatch, kernel
launches. It is extrapolated to a batch of no samples. With t(b) the time for a batch cut to b
samples and B the batch size, each sample costs (t(B) - t(b)) / (B - b), so the fixed cost is
t(b) - b (t(B) - t(b)) / (B - b). b is 1, or more if the model refuses 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from stepbench.config.case import Case
from stepbench.interference.watch import Watch, undisturbed
from stepbench.measurement.laps import LapArrays
from stepbench.measurement.subject import Repeated, Subject
from stepbench.training.batch import cut
from stepbench_reports.schema.measurement import LaunchOverhead
from stepbench_reports.schema.phases import Phase

LEAST_STEPS = 20
PASS_S = 0.15
"""The approximate duration of a timed block, seconds."""
REFUSALS = (RuntimeError, ValueError, IndexError, AssertionError)
"""The errors with which a model may refuse a cut batch."""
SMALLEST = (1, 2, 4)
"""The sizes to which a batch is cut; the first one that the model accepts is used."""


def unknown(reason: str) -> LaunchOverhead:
    """A result without figures, with the reason."""
    return LaunchOverhead(batch_size=None, forward_s=None, backward_s=None, reason=reason)


def launch_overhead(
    subject: Subject,
    batch: Any,  # noqa: ANN401  # a batch is anything
    batch_size: int,
    laps: Mapping[str, float],
) -> LaunchOverhead:
    """Measures the fixed cost of forward and backward.

    Args:
        subject: The loop that was measured. Its model is trained further, on cut batches.
        batch: A batch of the subject, as the loader yields it.
        batch_size: The number of samples in that batch.
        laps: The durations of forward and backward on such a batch, seconds, by phase.
    """
    if batch_size == 1:
        return unknown("a batch of 1 cannot be cut")
    why = "no part of the batch has its samples in the first dimension"
    for size in SMALLEST:
        small = cut(batch, batch_size, size)
        if size >= batch_size or small is None:
            break
        try:
            medians = _medians(replace(subject, source=Repeated(small)))
        except REFUSALS as error:
            # Batch norm, for one, refuses to train on a single value per channel.
            why = f"the model refuses {size} of {batch_size} samples: {error}"
            continue
        found = [
            max(0.0, short_s - (laps[phase] - short_s) / (batch_size - size) * size)
            for phase, short_s in medians.items()
        ]
        return LaunchOverhead(
            batch_size=size, forward_s=found[0], backward_s=found[1] if len(found) > 1 else 0.0
        )
    return unknown(" ".join(why.split()))


def unloaded_step_s(subject: Subject, batch: Any) -> float:  # noqa: ANN401  # a batch is anything
    """Measures the duration of a step without data loading, seconds: one batch is repeated.

    Args:
        subject: The loop that was measured. Its model is trained further, on this batch.
        batch: A batch of the subject, as the loader yields it.
    """
    alone = replace(subject, source=Repeated(batch))
    alone.run(3)
    trial = alone.bare(2)
    steps = max(5, round(PASS_S / trial.elapsed_s * trial.steps))
    block = alone.bare(steps)
    return block.elapsed_s / block.steps


def _medians(subject: Subject) -> dict[str, float]:
    """The median seconds of forward and, in training, of backward, for one batch."""
    subject.run(3)
    trial = subject.bare(1)
    steps = max(LEAST_STEPS, round(PASS_S / trial.elapsed_s))
    _, laps = subject.lapped(steps)
    track = laps.device or laps.host
    return {
        phase: float(np.median(track[phase])) / subject.training.accumulate
        for phase in (Phase.FORWARD, Phase.BACKWARD)
        if phase in track
    }


def launch_overhead_of(
    subject: Subject,
    watch: Watch,
    case: Case,
    batch: Any,  # noqa: ANN401  # a batch is anything
    laps: LapArrays,
) -> LaunchOverhead:
    """The fixed cost of a case's step, or the reason why it is unknown."""
    if case.compile != "off":
        return unknown("another batch size would be compiled anew")
    track = laps.device or laps.host
    medians = {
        str(phase): float(np.median(track[phase])) / case.accumulate
        for phase in (Phase.FORWARD, Phase.BACKWARD)
        if phase in track
    }
    found, calm = undisturbed(
        watch, lambda: launch_overhead(subject, batch, case.batch_size, medians)
    )
    return found if calm else unknown("other processes kept the machine busy")
