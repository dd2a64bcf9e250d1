"""The error of eager execution in each precision; a case's tolerance is derived from it."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from stepbench.config.case import Case
from stepbench.parity.randomness import RandomOperators
from stepbench.parity.reference import StoredReference, TrajectorySource
from stepbench.parity.reference_errors import Errors
from stepbench.parity.trajectory import TensorPlace, run_trajectory
from stepbench.training.build import assemble
from stepbench.training.training import Training
from stepbench_reports.analysis.stats import finite_or_none
from stepbench_reports.schema.files import decode, read_bytes, write_record
from stepbench_reports.schema.record import Record

# --- eager's error -------------------------------------------------------------------------------


@dataclass(frozen=True)
class EagerError:
    """The errors of eager execution in a precision.

    Attributes:
        runs: The errors of each run: two from the same start, then those from perturbed starts.
        random: The names of the operators that draw random numbers.
        reference_differs: The random operators that draw other numbers in the reference.
        layout_differs: The random operators that draw other numbers if the memory format is
            channels last.
        device_runs: The errors of the same runs on the case's device, where `runs` are on the CPU
            instead: in fp32 on another device. Empty otherwise, and if there are random operators.
    """

    runs: tuple[Errors, ...]
    random: tuple[str, ...]
    reference_differs: tuple[str, ...]
    layout_differs: tuple[str, ...]
    device_runs: tuple[Errors, ...] = ()


def measure(
    source: TrajectorySource, reference: StoredReference, *, perturbed: int = 0
) -> EagerError:
    """Runs eager twice from the reference's start, and from some perturbed starts.

    The errors are stored in the reference's directory. A later call adds only the missing
    runs.

    Args:
        source: The workload and the case. The case's `eager_same_precision` runs, and its
            `eager_on_device` if that is another and the model draws no random numbers.
        reference: The reference.
        perturbed: The number of runs from perturbed weights, which are off by rounding at random.
            They show how far rounding carries if it switches a unit, such as a ReLU.
    """
    case, on_device = source.case.eager_same_precision, source.case.eager_on_device
    eager = _measure(source, case, reference, perturbed)
    if on_device == case or eager.random:  # the device would draw other numbers
        return eager
    return replace(eager, device_runs=_measure(source, on_device, reference, perturbed).runs)


def _measure(
    source: TrajectorySource, case: Case, reference: StoredReference, perturbed: int
) -> EagerError:
    """Runs an eager case on its own device, and stores the errors."""
    file = reference.directory / f"eager-{case.id}.json"
    stored = _read(file)
    if len(stored.runs) >= 2 + perturbed:
        return replace(stored, runs=stored.runs[: 2 + perturbed])
    operators, runs = RandomOperators(), list(stored.runs)
    while len(runs) < 2 + perturbed:
        number = len(runs)
        torch.manual_seed(reference.seed)
        model, training = assemble(source.workload, case)
        start = reference.start() if number < 2 else reference.perturbed_start(number)
        with nullcontext() if number else operators:
            runs.append(run(model, unscaled(training), source.case.loop, reference, start))
    if stored.runs:
        result = replace(stored, runs=tuple(runs))
    else:
        result = EagerError(
            runs=tuple(runs),
            random=tuple(sorted(operators.seen)),
            reference_differs=tuple(sorted(operators.reference_differs)),
            layout_differs=tuple(sorted(operators.layout_differs)),
        )
    _write(file, result)
    return result


class _Stored(Record, frozen=True, kw_only=True):
    """The content of a file of `EagerError`; its errors are pairs of places and numbers."""

    runs: tuple[tuple[tuple[TensorPlace, float | None], ...], ...]
    random: tuple[str, ...]
    reference_differs: tuple[str, ...]
    layout_differs: tuple[str, ...]


def _read(file: Path) -> EagerError:
    """Reads the errors of earlier runs; none if there is no file."""
    if not file.exists():
        return EagerError((), (), (), ())
    stored = decode(file, read_bytes(file), _Stored)
    runs = (
        {place: math.inf if error is None else error for place, error in run} for run in stored.runs
    )
    return EagerError(tuple(runs), stored.random, stored.reference_differs, stored.layout_differs)


def _write(file: Path, result: EagerError) -> None:
    write_record(
        file,
        _Stored(
            runs=tuple(
                tuple((place, finite_or_none(error)) for place, error in run.items())
                for run in result.runs
            ),
            random=result.random,
            reference_differs=result.reference_differs,
            layout_differs=result.layout_differs,
        ),
    )


LOSS_SCALE = 2.0**8
"""The loss scale in fp16: low enough that no step is skipped, unlike the default of 2**16."""


def unscaled(training: Training) -> Training:
    """Replaces a training's gradient scaler, if any, by a fresh one that skips no step."""
    if training.scaler is None:
        return training
    return replace(training, scaler=GradScaler(training.device.type, init_scale=LOSS_SCALE))


def run(
    model: nn.Module,
    training: Training,
    loop: str,
    reference: StoredReference,
    start: Mapping[str, Tensor],
) -> Errors:
    """Runs a trajectory over the batches of a reference and returns its errors.

    Args:
        model: The uncompiled model; it loads the state `start`.
        training: The training, before its first step.
        loop: `train` or `eval`.
        reference: The reference.
        start: The state to begin with.
    """
    model.load_state_dict(start)
    comparison = reference.compare(start)
    batches, seed = reference.batches(), reference.seed
    run_trajectory(model, training, loop, batches, seed=seed, visit=comparison.visit)
    return comparison.close()
