"""The training cycle: the lesson's loop, with a lap at each phase boundary.

`zero_grad` stands after `step` instead of before `forward`, so that all of the optimizer's work is
one stretch; the work done and the weights that come out are the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from bench.phases import Phase


@dataclass(frozen=True)
class Training:
    """All that a training step needs, built and ready.

    Attributes:
        model: As it is called; compiled, where the case is.
        loss: Of the output and the target.
        optimizer: Over the model's parameters.
        device: Where it runs.
        autocast: Makes the context of the forward pass.
        scaler: Scales the loss of fp16 training; `None` elsewhere.
    """

    model: Callable[[Any], Any]
    loss: Callable[[Any, Any], Tensor]
    optimizer: Optimizer
    device: torch.device
    autocast: Callable[[], AbstractContextManager[object]]
    scaler: GradScaler | None = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that a step has here."""
        return tuple(
            phase for phase in Phase if phase is not Phase.TRANSFER or self.device.type != "cpu"
        )


def to_device(batch: Any, device: torch.device) -> Any:  # noqa: ANN401  # a batch is anything
    """A batch on the device: tensors, and tensors in mappings and sequences."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return [to_device(value, device) for value in batch]
    return batch


def _no_lap(_: Phase) -> None:
    """Stands where a lap would end, in a loop that takes none."""


def train(
    training: Training,
    batches: Iterator[Any],
    steps: int,
    lap: Callable[[Phase], None] = _no_lap,
    end_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Trains for some steps.

    Args:
        training: What to train.
        batches: Where the batches come from; must not end before the steps do.
        steps: How many.
        lap: Called at each phase boundary with the phase that ended.
        end_step: Called where a step has ended.

    Returns:
        The last step's loss, on the device.
    """
    loss = torch.zeros(())
    transfers = training.device.type != "cpu"
    scaler = training.scaler
    for _ in range(steps):
        inputs, target = next(batches)
        lap(Phase.DATALOAD)
        if transfers:
            inputs = to_device(inputs, training.device)
            target = to_device(target, training.device)
            lap(Phase.TRANSFER)
        with training.autocast():
            loss = training.loss(training.model(inputs), target)
        lap(Phase.FORWARD)
        if scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            lap(Phase.BACKWARD)
            training.optimizer.step()
        else:
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # likewise
            lap(Phase.BACKWARD)
            scaler.step(training.optimizer)
            scaler.update()
        training.optimizer.zero_grad()
        lap(Phase.OPTIMIZER)
        end_step()
    return loss.detach()


def parameter_count(model: nn.Module) -> tuple[int, int]:
    """How many numbers a model has, and how many of these are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
