"""The two loops of the lesson: training, and testing in evaluation mode under `no_grad`.

In the training cycle `zero_grad` stands after `step` instead of before `forward`, so that all of
the optimizer's work is one stretch; the work done and the weights that come out are the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from bench.errors import UsageError
from bench.phases import Phase

Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Placement:
    """How a batch comes to lie where it is computed with.

    Attributes:
        device: Where that is.
        non_blocking: Whether the host goes on while a batch is on its way.
        channels_last: Whether images, tensors (N, C, H, W), are laid out with the channels last.
    """

    device: torch.device
    non_blocking: bool = False
    channels_last: bool = False

    @property
    def transfers(self) -> bool:
        """Whether batches move at all."""
        return self.device.type != "cpu"

    def tensor(self, tensor: Tensor) -> Tensor:
        """One tensor, in place."""
        form = torch.preserve_format
        if self.channels_last and tensor.dim() == 4 and tensor.is_floating_point():
            form = torch.channels_last
        return tensor.to(self.device, non_blocking=self.non_blocking, memory_format=form)


def placed(batch: Any, placement: Placement) -> Any:  # noqa: ANN401  # a batch is anything
    """A batch in place: tensors, and tensors in mappings and sequences."""
    return each_tensor(batch, placement.tensor)


def each_tensor(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401  # likewise
    """A batch with each of its tensors changed, also those in mappings and sequences."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: each_tensor(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple):
        values = [each_tensor(value, change) for value in batch]
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return [each_tensor(value, change) for value in batch]
    return batch


def pair(batch: Any) -> tuple[Any, Any]:  # noqa: ANN401  # a batch is anything
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


def called(model: Callable[..., Any], inputs: Any) -> Any:  # noqa: ANN401  # as any model
    """A model's output: a tuple of inputs are its positional arguments, a mapping's by name."""
    if isinstance(inputs, tuple):
        return model(*inputs)
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(inputs)


@dataclass(frozen=True)
class Training:
    """All that a step needs, built and ready.

    Attributes:
        model: As it is called; compiled, where the case is.
        loss: Of the output and the target.
        optimizer: Over the model's parameters.
        placement: Where and how batches are computed with.
        autocast: Makes the context of the forward pass.
        scaler: Scales the loss of fp16 training; `None` elsewhere.
        accumulate: Backward passes to one step of the optimizer. Each loss is divided by it, so
            that the gradients that add up are those of the mean over all the samples.
        metric: What evaluation adds up, of the output and the target.
        split: Gives a batch's inputs and its target.
    """

    model: Callable[..., Any]
    loss: Callable[[Any, Any], Tensor]
    optimizer: Optimizer
    placement: Placement
    autocast: Autocast
    scaler: GradScaler | None = None
    accumulate: int = 1
    metric: Callable[[Any, Any], Tensor] | None = None
    split: Callable[[Any], tuple[Any, Any]] = pair

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.placement.device


def no_lap(_: Phase) -> None:
    """Stands where a lap would end, in a loop that takes none."""


def no_end() -> None:
    """Stands where a step would end, likewise."""


class Loop(Protocol):
    """A loop over batches: `train` or `evaluate`."""

    def __call__(
        self,
        training: Training,
        batches: Iterator[Any],
        steps: int,
        lap: Callable[[Phase], None] = ...,
        end_step: Callable[[], None] = ...,
    ) -> Tensor:
        """Goes through some steps.

        Args:
            training: What to run.
            batches: Where the batches come from; must not end before the steps do.
            steps: How many.
            lap: Called at each phase boundary with the phase that ended.
            end_step: Called where a step has ended.

        Returns:
            A scalar that all the work went into, on the device.
        """
        ...


def train(
    training: Training,
    batches: Iterator[Any],
    steps: int,
    lap: Callable[[Phase], None] = no_lap,
    end_step: Callable[[], None] = no_end,
) -> Tensor:
    """The training cycle, as `Loop`; a step ends with the optimizer's. Returns the last loss."""
    scaler, accumulate = training.scaler, training.accumulate
    loss = torch.zeros(())
    for _ in range(steps):
        for _ in range(accumulate):
            inputs, target = next_batch(training, batches, lap)
            loss = forward(training, inputs, target)
            if accumulate > 1:
                loss = loss / accumulate
            lap(Phase.FORWARD)
            if scaler is None:
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            else:
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # likewise
            lap(Phase.BACKWARD)
        if scaler is None:
            training.optimizer.step()
        else:
            scaler.step(training.optimizer)
            scaler.update()
        training.optimizer.zero_grad()
        lap(Phase.OPTIMIZER)
        end_step()
    return loss.detach()


def next_batch(
    training: Training, batches: Iterator[Any], lap: Callable[[Phase], None]
) -> tuple[Any, Any]:
    """The next batch, inputs and target, in place."""
    placement = training.placement
    batch = next(batches)
    lap(Phase.DATALOAD)
    if placement.transfers:
        batch = placed(batch, placement)
        lap(Phase.TRANSFER)
    elif placement.channels_last:  # on the CPU, a part of the forward pass
        batch = placed(batch, placement)
    return training.split(batch)


def forward(training: Training, inputs: Any, target: Any) -> Tensor:  # noqa: ANN401  # a batch
    """The forward pass with the loss, in the case's precision."""
    with training.autocast():
        return training.loss(called(training.model, inputs), target)


def evaluate(
    training: Training,
    batches: Iterator[Any],
    steps: int,
    lap: Callable[[Phase], None] = no_lap,
    end_step: Callable[[], None] = no_end,
) -> Tensor:
    """The lesson's test loop, as `Loop`. Returns the sum of the metric.

    The sum stays on the device: reading it after every batch, as `.item()` does, would make the
    host wait each time. The model must be in evaluation mode.
    """
    placement = training.placement
    metric = training.metric or training.loss
    total = torch.zeros((), device=placement.device)
    with torch.no_grad():
        for _ in range(steps):
            inputs, target = next_batch(training, batches, lap)
            with training.autocast():
                total = total + metric(called(training.model, inputs), target)
            lap(Phase.FORWARD)
            end_step()
    return total


LOOPS: dict[str, Loop] = {"train": train, "eval": evaluate}
"""By the value of the axis `loop`."""


def parameter_count(model: nn.Module) -> tuple[int, int]:
    """How many numbers a model has, and how many of these are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)
