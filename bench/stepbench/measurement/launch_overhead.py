"""The cost of a step without its data: before there is any in it, and with none to load.

Before there is any: Python, dispatch, kernel launches.

Forward and backward are run on a batch cut to one sample, and what that one sample costs is taken
off: with t(b) the time for b samples, the fixed cost is t(1) less the mean cost of each further
sample, (t(B) - t(1)) / (B - 1).
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
"""How long the cut batch is run, about."""
REFUSALS = (RuntimeError, ValueError, IndexError, AssertionError)
"""What a model may refuse a cut batch with."""
SMALLEST = (1, 2, 4)
"""Samples that a batch is cut to: the first that the model accepts."""


def unknown(reason: str) -> LaunchOverhead:
    """No figure, and why."""
    return LaunchOverhead(batch_size=None, forward_s=None, backward_s=None, reason=reason)


def launch_overhead(
    subject: Subject,
    batch: Any,  # noqa: ANN401  # a batch is anything
    batch_size: int,
    laps: Mapping[str, float],
) -> LaunchOverhead:
    """Measures the fixed cost of forward and backward.

    Args:
        subject: What was measured. It is trained on a few cut batches more.
        batch: A batch of it, in its loader's form.
        batch_size: Samples in that batch.
        laps: How long forward and backward take on such a batch, seconds, by phase.
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
    """Times a step that has nothing to load, in seconds: on one batch again and again.

    Args:
        subject: What was measured. It is trained on this batch some more.
        batch: A batch of it, in its loader's form.
    """
    alone = replace(subject, source=Repeated(batch))
    alone.run(3)
    trial = alone.bare(2)
    steps = max(5, round(PASS_S / trial.elapsed_s * trial.steps))
    block = alone.bare(steps)
    return block.elapsed_s / block.steps


def _medians(subject: Subject) -> dict[str, float]:
    """Median seconds of forward and, in training, backward, of one batch."""
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
    """The fixed cost of a case's step, or why it cannot be had."""
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
