"""The parts of a training step, built and ready."""

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
    """A batch that is a pair of inputs and target.

    Raises:
        UsageError: It is none.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        many = f" of {len(batch)}" if isinstance(batch, Sized) else ""
        raise UsageError(
            f"Workload: a batch is a {type(batch).__name__}{many}, and no pair of inputs and "
            f"target; give split=, such as lambda batch: (batch, batch['labels'])"
        )
    return batch[0], batch[1]


def call_model(model: Callable[..., Any], inputs: Any) -> Any:  # noqa: ANN401  # as any model
    """A model's output: a tuple of inputs are its positional arguments, a mapping's by name."""
    if isinstance(inputs, tuple):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs)


@dataclass(frozen=True)
class Training:
    """The parts of a step, built and ready.

    Attributes:
        model: As it is called; compiled, where the case is.
        loss: Of the output and the target.
        updates: Of the model's parameters, by name; several are for a step of the workload's own.
        placement: Where and how batches are computed with.
        autocast: Makes the context of the forward pass.
        scaler: Scales the loss of fp16 training; `None` elsewhere.
        accumulate: Backward passes to one step of the optimizer. Each loss is divided by it, so
            that the gradients that add up are those of the mean over all the samples.
        metric: What evaluation adds up, of the output and the target.
        split: Gives a batch's inputs and its target.
        step: One whole step, where it is the workload's own.
    """

    model: Callable[..., Any]
    loss: Callable[[Any, Any], Tensor]
    updates: Mapping[str, Update]
    placement: DeviceTransfer
    autocast: Autocast
    scaler: GradScaler | None = None
    accumulate: int = 1
    metric: Callable[[Any, Any], Tensor] | None = None
    split: Callable[[Any], tuple[Any, Any]] = split_pair
    step: "Callable[[Step], Tensor] | None" = None

    @property
    def device(self) -> torch.device:
        """The device that the step runs on."""
        return self.placement.device

    @property
    def update(self) -> Update:
        """The only update, or the first of several."""
        return next(iter(self.updates.values()))
