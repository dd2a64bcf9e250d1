"""The two loops of the lesson: training, and testing in evaluation mode under `no_grad`.

In the training cycle `zero_grad` stands after `step` instead of before `forward`, so that all of
the optimizer's work is one stretch; the work done and the weights that come out are the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from bench.errors import UsageError
from bench.phases import Phase
from bench.placement import Placement, placed
from bench.update import Update

Autocast = Callable[[], AbstractContextManager[object]]


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
    placement: Placement
    autocast: Autocast
    scaler: GradScaler | None = None
    accumulate: int = 1
    metric: Callable[[Any, Any], Tensor] | None = None
    split: Callable[[Any], tuple[Any, Any]] = pair
    step: "Callable[[Step], Tensor] | None" = None

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.placement.device

    @property
    def update(self) -> Update:
        """The only one, or the first of several."""
        return next(iter(self.updates.values()))


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
    if training.step is not None:
        return _train_by(training.step, Step(training, batches, lap), steps, end_step)
    scaler, accumulate, update = training.scaler, training.accumulate, training.update
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
        update(scaler)
        if scaler is not None:
            scaler.update()
        lap(Phase.OPTIMIZER)
        end_step()
    return loss.detach()


class Step:
    """One step of training, as a workload's own `step` is given it.

    What its methods do is what the usual step does, laps, precision and gradient scaling included.
    Work between them counts in the phase of the method that is called next.

    Args:
        training: What to run.
        batches: Where the batches come from.
        lap: Called at each phase boundary with the phase that ended.
    """

    def __init__(
        self, training: Training, batches: Iterator[Any], lap: Callable[[Phase], None]
    ) -> None:
        self._training = training
        self._batches = batches
        self._lap = lap
        self._stepped: list[Update] = []

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._training.device

    def batch(self) -> tuple[Any, Any]:
        """The next batch, in place: inputs and target, as `split` gives them. Ends dataload."""
        return next_batch(self._training, self._batches, self._lap)

    @contextmanager
    def forward(self) -> Iterator[None]:
        """A forward pass with its loss, in the case's precision. Its end ends the phase."""
        with self._training.autocast():
            yield
        self._lap(Phase.FORWARD)

    def model(self, *inputs: Any, **named: Any) -> Any:  # noqa: ANN401  # as any model
        """Calls the model; compiled, where the case is.

        Parts of a model are reached through its `forward` alone: what is called past it would
        not be compiled.
        """
        return self._training.model(*inputs, **named)

    def loss(self, output: Any, target: Any) -> Tensor:  # noqa: ANN401  # as any loss
        """The workload's loss."""
        return self._training.loss(output, target)

    def backward(self, loss: Tensor) -> None:
        """A backward pass. Ends the phase."""
        scaler = self._training.scaler
        scaled = loss if scaler is None else scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._lap(Phase.BACKWARD)

    def clear(self, name: str | None = None) -> None:
        """Clears the gradients of an optimizer's parameters, which a backward pass left there.

        Args:
            name: Which; may be left out where there is one.

        Raises:
            UsageError: There is none of that name.
        """
        self._named(name).optimizer.zero_grad()

    def update(self, name: str | None = None) -> None:
        """Has an optimizer step and clear its parameters' gradients. Ends the phase.

        Args:
            name: Which; may be left out where there is one.

        Raises:
            UsageError: There is none of that name.
        """
        update = self._named(name)
        if update in self._stepped:  # a scaler allows one step between its own updates
            self._update_scaler()
        update(self._training.scaler)
        self._stepped.append(update)
        self._lap(Phase.OPTIMIZER)

    def end(self) -> None:
        """Ends the step: what came after its last phase counts as the optimizer's."""
        self._update_scaler()
        self._lap(Phase.OPTIMIZER)

    def _update_scaler(self) -> None:
        if self._training.scaler is not None and self._stepped:
            self._training.scaler.update()
        self._stepped.clear()

    def _named(self, name: str | None) -> Update:
        known = self._training.updates
        if name is None and len(known) == 1:
            return self._training.update
        if name is None or name not in known:
            said = "" if name is None else repr(name)
            raise UsageError(
                f"Workload(step=...): update({said}) must name one of its optimizers: "
                f"{', '.join(map(repr, known))}"
            )
        return known[name]


class StillStep(Step):
    """A step that no optimizer takes: what is given to a step of one's own that is looked at.

    Args:
        training: What to run.
        batch: The batch that it is given, again and again; in place.
        around: Makes a context around each forward pass.
    """

    def __init__(
        self,
        training: Training,
        batch: Any,  # noqa: ANN401  # a batch is anything
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__(training, repeat(batch), no_lap)
        self._around = around

    def batch(self) -> tuple[Any, Any]:
        """The batch: inputs and target."""
        return self._training.split(next(self._batches))

    @contextmanager
    def forward(self) -> Iterator[None]:
        """A forward pass."""
        with self._around(), super().forward():
            yield

    def update(self, name: str | None = None) -> None:
        """Clears the gradients that an optimizer would have used."""
        self.clear(name)


def _train_by(
    step: Callable[[Step], Tensor],
    own: Step,
    steps: int,
    end_step: Callable[[], None],
) -> Tensor:
    """The training cycle with a step of the workload's own. Returns the last one's loss."""
    loss = torch.zeros(())
    for _ in range(steps):
        loss = step(own)
        own.end()
        end_step()
    if not isinstance(loss, Tensor):
        raise UsageError(
            f"Workload(step=...): it returned {type(loss).__name__}; return a loss, a tensor"
        )
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
