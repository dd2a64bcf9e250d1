"""The error of eager execution in each precision; a case's tolerance is derived from it."""

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

# --- eager's error -------------------------------------------------------------------------------


@dataclass(frozen=True)
class EagerError:
    """The errors of eager execution in a precision.

    Attributes:
        runs: The errors of each run: two from the same start, then those from perturbed starts.
        random: The names of the operators that draw random numbers.
        unlike: The random operators that draw other numbers in the reference.
        by_layout: The random operators that draw other numbers if the memory format is
            channels last.
    """

    runs: tuple[Errors, ...]
    random: tuple[str, ...]
    unlike: tuple[str, ...]
    by_layout: tuple[str, ...]


def eager_error(subject: TrajectorySource, kept: StoredReference, *, shaken: int = 0) -> EagerError:
    """Runs eager twice from the reference's start, and from some perturbed starts.

    The errors are stored in the reference's directory. A later call adds only the missing
    runs.

    Args:
        subject: The workload and the case; its `eager_same_precision` is what runs.
        kept: The reference.
        shaken: The number of runs from perturbed weights, which are off by rounding at random.
            They show how far rounding carries if it switches a unit, such as a ReLU.
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
"""The loss scale in fp16: low enough that no step is skipped, unlike the default of 2**16."""


def unscaled(training: Training) -> Training:
    """Replaces a training's gradient scaler, if any, by a fresh one that skips no step."""
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
    """Runs a trajectory over the batches of a reference and returns its errors.

    Args:
        model: The uncompiled model; it loads the state `start`.
        training: The training, before its first step.
        loop: `train` or `eval`.
        kept: The reference.
        start: The state to begin with.
    """
    model.load_state_dict(start)
    comparison = kept.compare(start)
    follow(model, training, loop, kept.batches(), seed=kept.seed, visit=comparison.visit)
    return comparison.close()
