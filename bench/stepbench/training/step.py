"""The training step that is passed to a workload's `step`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from stepbench.errors import UsageError
from stepbench.training.phases import next_batch, no_lap
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.phases import Phase


class Step:
    """The training step that is passed to a workload's `step`.

    The methods do what the default step does, with laps, precision and gradient scaling. Work
    between two calls counts in the phase of the second.

    Args:
        training: The parts of a step.
        batches: The batches.
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
        """The device that the step runs on."""
        return self._training.device

    def batch(self) -> tuple[Any, Any]:
        """Returns the next batch's inputs and target, on the device. Ends dataload and transfer."""
        return next_batch(self._training, self._batches, self._lap)

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Runs the forward pass and the loss in the case's precision. Ends the phase on exit."""
        with self._training.autocast():
            yield
        self._lap(Phase.FORWARD)

    def model(self, *inputs: Any, **keywords: Any) -> Any:  # noqa: ANN401  # as any model
        """Calls the model, compiled if the case is.

        Call parts of the model through its `forward` only: a direct call would not be compiled.
        """
        return self._training.model(*inputs, **keywords)

    def loss(self, output: Any, target: Any) -> Tensor:  # noqa: ANN401  # as any loss
        """Computes the workload's loss."""
        return self._training.loss(output, target)

    def backward(self, loss: Tensor) -> None:
        """Runs the backward pass. Ends the phase."""
        scaler = self._training.scaler
        scaled = loss if scaler is None else scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._lap(Phase.BACKWARD)

    def clear(self, name: str | None = None) -> None:
        """Clears the gradients that a backward pass left in an optimizer's parameters.

        Args:
            name: The optimizer's name; optional if there is only one.

        Raises:
            UsageError: No optimizer has that name, or the name is missing.
        """
        self._find_update(name).optimizer.zero_grad()

    def update(self, name: str | None = None) -> None:
        """Steps an optimizer and clears its parameters' gradients. Ends the phase.

        Args:
            name: The optimizer's name; optional if there is only one.

        Raises:
            UsageError: No optimizer has that name, or the name is missing.
        """
        update = self._find_update(name)
        if update in self._stepped:  # a scaler allows one step of each optimizer between updates
            self._update_scaler()
        update(self._training.scaler)
        self._stepped.append(update)
        self._lap(Phase.OPTIMIZER)

    def end(self) -> None:
        """Ends the step; work after the last phase counts in the optimizer's phase."""
        self._update_scaler()
        self._lap(Phase.OPTIMIZER)

    def _update_scaler(self) -> None:
        if self._training.scaler is not None and self._stepped:
            self._training.scaler.update()
        self._stepped.clear()

    def _find_update(self, name: str | None) -> Update:
        updates = self._training.updates
        if name is None and len(updates) == 1:
            return self._training.update
        if name is None or name not in updates:
            argument = "" if name is None else repr(name)
            raise UsageError(
                f"Workload(step=...): update({argument}) must name one of the optimizers: "
                f"{', '.join(map(repr, updates))}"
            )
        return updates[name]


class DryRunStep(Step):
    """A step without an optimizer's step, for inspecting a workload's `step`.

    Args:
        training: The parts of a step.
        batch: The batch, on the device; every call of `batch` returns it.
        forward_context: Makes a context around each forward pass.
    """

    def __init__(
        self,
        training: Training,
        batch: Any,  # noqa: ANN401  # a batch is anything
        forward_context: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__(training, repeat(batch), no_lap)
        self._forward_context = forward_context

    def batch(self) -> tuple[Any, Any]:
        """Returns the batch: inputs and target."""
        return self._training.split(next(self._batches))

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Runs the forward pass, within the context that `forward_context` makes."""
        with self._forward_context(), super().forward():
            yield

    def update(self, name: str | None = None) -> None:
        """Clears the gradients that the optimizer would have used."""
        self.clear(name)
