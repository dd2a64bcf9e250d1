"""One training step, as a workload's own `step` is given it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from stepbench.errors import UsageError
from stepbench.training.parts import next_batch, no_lap
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.phases import Phase


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
        """The device that the step runs on."""
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


class DryRunStep(Step):
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
