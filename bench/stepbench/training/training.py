"""The parts of a training step, ready to run."""

from collections.abc import Callable, Mapping, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.amp import GradScaler

from stepbench.errors import UsageError
from stepbench.training.device_transfer import DeviceTransfer
from stepbench.training.update import Update

if TYPE_CHECKING:
    from stepbench.training.step import Step

Autocast = Callable[[], AbstractContextManager[object]]


def split_pair(batch: Any) -> tuple[Any, Any]:  # noqa: ANN401  # a batch is anything
    """Splits a batch that is a pair into inputs and target.

    Raises:
        UsageError: The batch is not a pair.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        length = f" of {len(batch)}" if isinstance(batch, Sized) else ""
        raise UsageError(
            f"Workload: a batch is a {type(batch).__name__}{length}, not a pair of inputs and "
            f"target; pass split=, such as lambda batch: (batch, batch['labels'])"
        )
    return batch[0], batch[1]


def call_model(model: Callable[..., Any], inputs: Any) -> Any:  # noqa: ANN401  # as any model
    """Calls a model; a tuple is passed as positional arguments, a mapping as keyword arguments."""
    if isinstance(inputs, tuple):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs)


@dataclass(frozen=True)
class Training:
    """The parts of a training step, ready to run.

    Attributes:
        model: Calls the model, compiled if the case is.
        loss: Computes the loss from the output and the target.
        updates: The updates of the model's parameters, by optimizer; if there are several, the
            workload must define `step`.
        transfer: The transfer of batches to the device.
        autocast: Makes the context of the forward pass.
        scaler: Scales the loss of fp16 training; `None` in other precisions.
        accumulate: The number of backward passes per optimizer step. Each loss is divided by this
            number, so that the gradients add up to those of the mean over all samples.
        metric: Computes, from the output and the target, the value that evaluation adds up.
        split: Splits a batch into inputs and target.
        step: Runs a whole step, if the workload defines it; else `None`.
    """

    model: Callable[..., Any]
    loss: Callable[[Any, Any], Tensor]
    updates: Mapping[str, Update]
    transfer: DeviceTransfer
    autocast: Autocast
    scaler: GradScaler | None = None
    accumulate: int = 1
    metric: Callable[[Any, Any], Tensor] | None = None
    split: Callable[[Any], tuple[Any, Any]] = split_pair
    step: "Callable[[Step], Tensor] | None" = None

    @property
    def device(self) -> torch.device:
        """The device that the step runs on."""
        return self.transfer.device

    @property
    def update(self) -> Update:
        """The only update, or the first of several."""
        return next(iter(self.updates.values()))
