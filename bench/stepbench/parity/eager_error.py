"""The error that eager execution has itself in each precision, by which a case is judged."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from stepbench.parity.randomness import RandomOperators
from stepbench.parity.reference import StoredReference, TrajectorySource
from stepbench.parity.reference_errors import Errors
from stepbench.parity.trajectory import follow
from stepbench.training.build import assemble
from stepbench.training.training import Training

# --- eager's own error ---------------------------------------------------------------------------


@dataclass(frozen=True)
class EagerError:
    """The errors of eager execution in a precision.

    Attributes:
        runs: The errors of several runs from the same start.
        random: The operators that draw random numbers.
        unlike: Those of them that the reference draws otherwise.
        by_layout: Those that draw otherwise where the channels come last.
    """

    runs: tuple[Errors, ...]
    random: tuple[str, ...]
    unlike: tuple[str, ...]
    by_layout: tuple[str, ...]


def eager_error(subject: TrajectorySource, kept: StoredReference, *, shaken: int = 0) -> EagerError:
    """Eager's own errors: of two runs from the very start, and of some from one next to it.

    Args:
        subject: What to run; its case's twin is what runs.
        kept: The reference.
        shaken: How many runs begin with weights that are off by rounding, at random: what comes of
            it where a unit is about to switch.
    """
    place = kept.place / f"own-{subject.case.eager_same_precision.id}.pt"
    known = torch.load(place, weights_only=False) if place.exists() else EagerError((), (), (), ())
    if len(known.runs) >= 2 + shaken:
        return EagerError(known.runs[: 2 + shaken], known.random, known.unlike, known.by_layout)
    watch, runs = RandomOperators(), list(known.runs)
    while len(runs) < 2 + shaken:
        number = len(runs)
        torch.manual_seed(kept.seed)
        model, training = assemble(subject.workload, subject.case.eager_same_precision)
        start = kept.start() if number < 2 else kept.shaken_start(number)
        with nullcontext() if number else watch:
            runs.append(run(model, unscaled(training), subject.case.loop, kept, start))
    if known.runs:
        found = replace(known, runs=tuple(runs))
    else:
        drawn = (watch.seen, watch.unlike, watch.by_layout)
        found = EagerError(tuple(runs), *(tuple(sorted(names)) for names in drawn))
    beside = place.with_name(f".{place.name}")
    torch.save(found, beside)
    beside.replace(place)
    return found


SCALE = 2.0**8
"""Of the loss, in fp16: low enough that no step is skipped, as the first ones of a training are."""


def unscaled(training: Training) -> Training:
    """A training whose gradient scaler, if it has one, has not scaled yet and skips no step."""
    if training.scaler is None:
        return training
    return replace(training, scaler=GradScaler(training.device.type, init_scale=SCALE))


def run(
    model: nn.Module,
    training: Training,
    loop: str,
    kept: StoredReference,
    start: Mapping[str, Tensor],
) -> Errors:
    """The errors of a trajectory over the batches of a reference.

    Args:
        model: The model itself; it is given the start's state.
        training: What to run, as at its start.
        loop: `train` or `eval`.
        kept: The reference.
        start: What state to begin with.
    """
    model.load_state_dict(start)
    comparison = kept.compare(start)
    follow(model, training, loop, kept.batches(), seed=kept.seed, visit=comparison.visit)
    return comparison.close()
