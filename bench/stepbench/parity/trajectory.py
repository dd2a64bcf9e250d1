"""Trajectories: the tensors of some steps of a loop, by which two trainings are compared.

The loop is the one that is timed. Its model, loss and optimizer are only observed.
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
        step: The step, counted from 1. Parameters and buffers are those after the step.
        kind: The kind of tensor.
        name: The module path of a parameter, its gradient or a buffer; the name of an output or a
            loss, such as `output[0]` or `loss`.
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
"""Called with each tensor in the order of computation; must copy a tensor to keep it."""


def run_trajectory(
    model: nn.Module,
    training: Training,
    loop: str,
    batches: Sequence[Any],
    *,
    seed: int,
    visit: Visit,
) -> None:
    """Runs a loop over some batches and passes each tensor to `visit`.

    The number of steps is that of the batches over `training.accumulate`.

    Args:
        model: The uncompiled model, whose parameters the training's optimizers update.
        training: The training to run; its model may be compiled.
        loop: `train` or `eval`.
        batches: The batches, as the data loader yields them.
        seed: The seed of the random numbers; each step sets the seed plus the number of the step.
            So one step's draws do not shift those of the next.
        visit: Called with each tensor.
    """
    recorder = _TensorRecorder(model, training, visit, seed)
    steps = len(batches) // training.accumulate
    hooks = [
        update.optimizer.register_step_pre_hook(recorder.hook(update))
        for update in training.updates.values()
    ]
    for update in training.updates.values():
        update.optimizer.zero_grad()
    recorder.begin_step()
    try:
        # The batches repeat, as a workload's custom step may take several of them.
        stream = itertools.cycle(batches)
        LOOPS[loop](recorder.training(), stream, steps, end_step=recorder.end_step)
    finally:
        for hook in hooks:
            hook.remove()


class _TensorRecorder:
    """Passes the tensors of one trajectory to a visitor."""

    def __init__(self, model: nn.Module, training: Training, visit: Visit, seed: int) -> None:
        self._model = model
        self._training = training
        self._visit = visit
        self._seed = seed
        self._step = 0
        self._counts: Counter[str] = Counter()

    def begin_step(self) -> None:
        self._step += 1
        self._counts.clear()
        torch.manual_seed(self._seed + self._step)

    def end_step(self) -> None:
        for name, parameter in self._model.named_parameters():
            self._visit(TensorPlace(self._step, TensorKind.PARAMETER, name), parameter.detach())
        for name, buffer in self._model.named_buffers():
            self._visit(TensorPlace(self._step, TensorKind.BUFFER, name), buffer.detach())
        self.begin_step()

    def training(self) -> Training:
        """The training with its model, loss and step replaced by those that are recorded.

        The metric is not recorded: it follows from the outputs, and is coarser.
        """
        custom_step = self._training.step
        step = None if custom_step is None else self._recorded_step(custom_step)
        return replace(self._training, model=self.model, loss=self.loss, step=step)

    def _recorded_step(self, custom_step: Callable[[Step], Tensor]) -> Callable[[Step], Tensor]:
        """Wraps a workload's custom step, whose loss may come from elsewhere than `loss`."""

        def step(at: Step) -> Tensor:
            loss = custom_step(at)
            self._visit(TensorPlace(self._step, TensorKind.LOSS, "step's loss"), loss.detach())
            return loss

        return step

    def model(self, *inputs: Any, **keywords: Any) -> Any:  # noqa: ANN401  # as any model
        output = self._training.model(*inputs, **keywords)
        suffix = self._call_suffix("output")
        for name, tensor in named_tensors(output):
            self._visit(TensorPlace(self._step, TensorKind.OUTPUT, f"output{name}{suffix}"), tensor)
        return output

    def loss(self, output: Any, target: Any) -> Tensor:  # noqa: ANN401  # as any loss
        loss = self._training.loss(output, target)
        suffix = self._call_suffix("loss")
        self._visit(TensorPlace(self._step, TensorKind.LOSS, f"loss{suffix}"), loss.detach())
        return loss

    def _call_suffix(self, name: str) -> str:
        """The suffix that tells apart the outputs, or the losses, of one step."""
        self._counts[name] += 1
        if self._training.step is not None:
            return f" of call {self._counts[name]}"
        return f" of batch {self._counts[name]}" if self._training.accumulate > 1 else ""

    def _update_suffix(self, name: str) -> str:
        """The suffix that tells apart a parameter's gradients if one step updates it repeatedly."""
        self._counts[f"gradient of {name}"] += 1
        number = self._counts[f"gradient of {name}"]
        return f" of update {number}" if number > 1 else ""

    def hook(self, update: Update) -> Callable[..., None]:
        """Makes a hook that visits an optimizer's gradients before its step, last layer first."""
        updated = {id(parameter) for parameter in update.parameters}

        def gradients(optimizer: Optimizer, *_: Any) -> None:  # noqa: ANN401  # a hook of torch's
            # A fused optimizer receives scaled gradients and their scale.
            scale = getattr(optimizer, "grad_scale", None)
            for name, parameter in reversed(list(self._model.named_parameters())):
                if parameter.grad is not None and id(parameter) in updated:
                    gradient = parameter.grad.detach()
                    unscaled = gradient if scale is None else gradient / scale
                    label = name + self._update_suffix(name)
                    self._visit(TensorPlace(self._step, TensorKind.GRADIENT, label), unscaled)

        return gradients


MAX_DEPTH = 8
"""The deepest level of nesting at which an output's tensors are found."""


def named_tensors(
    output: Any,  # noqa: ANN401  # a model may return anything
    name: str = "",
    depth: int = MAX_DEPTH,
) -> Iterator[tuple[str, Tensor]]:
    """Yields an output's tensors with their paths in it: ``, `[0]`, `['logits']`, `.logits`."""
    if isinstance(output, Tensor):
        yield name, output.detach()
    elif depth and isinstance(output, Mapping):
        for key, value in output.items():
            yield from named_tensors(value, f"{name}[{key!r}]", depth - 1)
    elif depth and isinstance(output, (list, tuple)):
        for number, value in enumerate(output):
            yield from named_tensors(value, f"{name}[{number}]", depth - 1)
    elif depth and hasattr(output, "__dict__") and not callable(output):
        for key, value in vars(output).items():
            yield from named_tensors(value, f"{name}.{key}", depth - 1)
