"""The parts of a step that all loops share: the next batch, the forward pass."""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from stepbench.training.device_transfer import to_device
from stepbench.training.training import Training, call_model
from stepbench_reports.schema.phases import Phase


def no_lap(_: Phase) -> None:
    """Does nothing at the end of a lap, in a loop that takes no laps."""


def no_end() -> None:
    """Does nothing at the end of a step."""


def next_batch(
    training: Training, batches: Iterator[Any], lap: Callable[[Phase], None]
) -> tuple[Any, Any]:
    """Returns inputs and target of the next batch, on the device."""
    transfer = training.transfer
    batch = next(batches)
    lap(Phase.DATALOAD)
    if transfer.is_needed:
        batch = to_device(batch, transfer)
        lap(Phase.TRANSFER)
    elif transfer.channels_last:  # on the CPU, a part of the forward pass
        batch = to_device(batch, transfer)
    return training.split(batch)


def forward(training: Training, inputs: Any, target: Any) -> Tensor:  # noqa: ANN401  # a batch
    """Computes the loss by a forward pass in the case's precision."""
    with training.autocast():
        return training.loss(call_model(training.model, inputs), target)
