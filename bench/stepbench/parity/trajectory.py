"""Trajectories: some steps of a loop, tensor by tensor, by which two trainings are compared.

It is the very loop that is timed. Its model, loss and optimizer are only listened to.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from stepbench.training.loop import LOOPS
from stepbench.training.step import Step
from stepbench.training.training import Training
from stepbench.training.update import Update
from stepbench_reports.schema.parity import TensorKind


@dataclass(frozen=True)
class TensorPlace:
    """The place of a tensor in a trajectory.

    Attributes:
        step: Counted from 1. Parameters and buffers are those after it.
        kind: What it is.
        name: A parameter's or a buffer's module path; a part of the output.
    """

    step: int
    kind: TensorKind
    name: str

    def __str__(self) -> str:
        """The place in words: `the gradient of conv1.weight at step 1`."""
        if self.kind is TensorKind.LOSS:
            return f"the {self.name} at step {self.step}"
        if self.kind is TensorKind.OUTPUT:
            return f"the model's {self.name} at step {self.step}"
        after = "after" if self.kind in {TensorKind.PARAMETER, TensorKind.BUFFER} else "at"
        of = "of " if self.kind is TensorKind.GRADIENT else ""
        return f"the {self.kind} {of}{self.name} {after} step {self.step}"


Visit = Callable[[TensorPlace, Tensor], None]
"""Is shown each tensor in the order of computing; must not keep it without a copy."""


def follow(
    model: nn.Module,
    training: Training,
    loop: str,
    batches: Sequence[Any],
    *,
    seed: int,
    visit: Visit,
) -> None:
    """Goes through some batches and shows all that is computed.

    Args:
        model: The model itself, whose parameters the training's optimizer has.
        training: What to run; its model may be the compiled one.
        loop: `train` or `eval`.
        batches: In their loader's form: as many as usual steps need; there are as many steps.
        seed: Of the random numbers, which start anew at each step, so that what one step draws does
            not shift what the next one does.
        visit: Is shown each tensor.
    """
    ear = _TensorRecorder(model, training, visit, seed)
    steps = len(batches) // training.accumulate
    hooks = [
        update.optimizer.register_step_pre_hook(ear.hook(update))
        for update in training.updates.values()
    ]
    for update in training.updates.values():
        update.optimizer.zero_grad()
    ear.begin_step()
    try:
        # Again and again, for a step of the workload's own may take several of them.
        stream = itertools.cycle(batches)
        LOOPS[loop](ear.listened(), stream, steps, end_step=ear.end_step)
    finally:
        for hook in hooks:
            hook.remove()


class _TensorRecorder:
    """Listens to one trajectory."""

    def __init__(self, model: nn.Module, training: Training, visit: Visit, seed: int) -> None:
        self._model = model
        self._training = training
        self._visit = visit
        self._seed = seed
        self._step = 0
        self._seen: Counter[str] = Counter()

    def begin_step(self) -> None:
        self._step += 1
        self._seen.clear()
        torch.manual_seed(self._seed + self._step)

    def end_step(self) -> None:
        for name, parameter in self._model.named_parameters():
            self._visit(TensorPlace(self._step, TensorKind.PARAMETER, name), parameter.detach())
        for name, buffer in self._model.named_buffers():
            self._visit(TensorPlace(self._step, TensorKind.BUFFER, name), buffer.detach())
        self.begin_step()

    def listened(self) -> Training:
        """The training, with what is listened to in the place of its own.

        A metric is not: it follows from the outputs, and counts of right answers are coarser.
        """
        own = self._training.step
        return replace(
            self._training, model=self.model, loss=self.loss, step=own and self._step_of(own)
        )

    def _step_of(self, own: Callable[[Step], Tensor]) -> Callable[[Step], Tensor]:
        """A workload's own step, whose loss need not come from its `loss`."""

        def step(at: Step) -> Tensor:
            loss = own(at)
            self._visit(TensorPlace(self._step, TensorKind.LOSS, "step's loss"), loss.detach())
            return loss

        return step

    def model(self, *inputs: Any, **named: Any) -> Any:  # noqa: ANN401  # as any model
        output = self._training.model(*inputs, **named)
        which = self._which_call("output")
        for name, tensor in parts(output):
            self._visit(TensorPlace(self._step, TensorKind.OUTPUT, f"output{name}{which}"), tensor)
        return output

    def loss(self, output: Any, target: Any) -> Tensor:  # noqa: ANN401  # as any loss
        loss = self._training.loss(output, target)
        which = self._which_call("loss")
        self._visit(TensorPlace(self._step, TensorKind.LOSS, f"loss{which}"), loss.detach())
        return loss

    def _which_call(self, what: str) -> str:
        """Tells apart the outputs, or the losses, of a step that has several."""
        self._seen[what] += 1
        if self._training.step is not None:
            return f" of call {self._seen[what]}"
        return f" of batch {self._seen[what]}" if self._training.accumulate > 1 else ""

    def _which_update(self, name: str) -> str:
        """Tells apart a parameter's gradients in a step that updates it several times."""
        self._seen[f"gradient of {name}"] += 1
        number = self._seen[f"gradient of {name}"]
        return f" of update {number}" if number > 1 else ""

    def hook(self, update: Update) -> Callable[..., None]:
        """Shows the gradients that an optimizer is about to use, those computed first first."""
        its = {id(parameter) for parameter in update.parameters}

        def gradients(optimizer: Optimizer, *_: Any) -> None:  # noqa: ANN401  # a hook of torch's
            # A fused optimizer is given the gradients as the scaler made them, and their scale.
            scale = getattr(optimizer, "grad_scale", None)
            for name, parameter in reversed(list(self._model.named_parameters())):
                if parameter.grad is not None and id(parameter) in its:
                    gradient = parameter.grad.detach()
                    unscaled = gradient if scale is None else gradient / scale
                    shown = name + self._which_update(name)
                    self._visit(TensorPlace(self._step, TensorKind.GRADIENT, shown), unscaled)

        return gradients


DEPTH = 8
"""How deep tensors may lie in an output."""


def parts(output: Any, name: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Tensor]]:  # noqa: ANN401  # whatever a model returns
    """The tensors of an output, each with its place in it: ``, `[0]`, `['logits']`, `.logits`."""
    if isinstance(output, Tensor):
        yield name, output.detach()
    elif depth and isinstance(output, Mapping):
        for key, value in output.items():
            yield from parts(value, f"{name}[{key!r}]", depth - 1)
    elif depth and isinstance(output, (list, tuple)):
        for number, value in enumerate(output):
            yield from parts(value, f"{name}[{number}]", depth - 1)
    elif depth and hasattr(output, "__dict__") and not callable(output):
        for key, value in vars(output).items():
            yield from parts(value, f"{name}.{key}", depth - 1)
