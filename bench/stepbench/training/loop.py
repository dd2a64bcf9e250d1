"""The lesson's two loops: training, and testing in evaluation mode under `no_grad`.

The training loop calls `zero_grad` after `step` instead of before the forward pass, so that the
optimizer's work is contiguous; the work and the resulting weights are the same.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from stepbench.errors import UsageError
from stepbench.training.phases import forward, next_batch, no_end, no_lap
from stepbench.training.step import Step
from stepbench.training.training import Training, call_model
from stepbench_reports.schema.phases import Phase


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
        """Runs some steps.

        Args:
            training: The parts of a step.
            batches: The batches; they must not end before the steps do.
            steps: The number of steps.
            lap: Called at each phase boundary with the phase that ended.
            end_step: Called after each step.

        Returns:
            A scalar on the device that depends on all the work.
        """
        ...


def train(
    training: Training,
    batches: Iterator[Any],
    steps: int,
    lap: Callable[[Phase], None] = no_lap,
    end_step: Callable[[], None] = no_end,
) -> Tensor:
    """Trains, as `Loop` describes; each step ends with the optimizer's. Returns the last loss."""
    if training.step is not None:
        return _train_custom(training.step, Step(training, batches, lap), steps, end_step)
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
                scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            lap(Phase.BACKWARD)
        update(scaler)
        if scaler is not None:
            scaler.update()
        lap(Phase.OPTIMIZER)
        end_step()
    return loss.detach()


def _train_custom(
    custom_step: Callable[[Step], Tensor],
    step: Step,
    steps: int,
    end_step: Callable[[], None],
) -> Tensor:
    """Trains by the step that the workload defines. Returns the last step's loss."""
    loss = torch.zeros(())
    for _ in range(steps):
        loss = custom_step(step)
        step.end()
        end_step()
    if not isinstance(loss, Tensor):
        raise UsageError(
            f"Workload(step=...): the step returned {type(loss).__name__}; "
            f"return the loss, a Tensor"
        )
    return loss.detach()


def evaluate(
    training: Training,
    batches: Iterator[Any],
    steps: int,
    lap: Callable[[Phase], None] = no_lap,
    end_step: Callable[[], None] = no_end,
) -> Tensor:
    """Evaluates like the lesson's test loop, as `Loop` describes. Returns the metric's sum.

    The sum stays on the device: reading the sum after every batch, as `.item()` does, would make
    the host wait each time. The model must be in evaluation mode.
    """
    transfer = training.transfer
    metric = training.metric or training.loss
    total = torch.zeros((), device=transfer.device)
    with torch.no_grad():
        for _ in range(steps):
            inputs, target = next_batch(training, batches, lap)
            with training.autocast():
                total = total + metric(call_model(training.model, inputs), target)
            lap(Phase.FORWARD)
            end_step()
    return total


LOOPS: dict[str, Loop] = {"train": train, "eval": evaluate}
"""The loops by the value of the axis `loop`."""
