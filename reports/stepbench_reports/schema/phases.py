"""The phases of a training step."""

from enum import StrEnum


class Phase(StrEnum):
    """A phase of a training step; the members are in the order of a step.

    Every moment of a step belongs to exactly one phase, so the laps of the phases add up to the
    duration of the step.
    """

    DATALOAD = "dataload"
    """Waiting for the `DataLoader`'s next batch; without workers, also making the batch."""
    TRANSFER = "transfer"
    """Moving the batch to the device. Does not exist on the CPU."""
    FORWARD = "forward"
    """The model's output and the loss."""
    BACKWARD = "backward"
    """The gradients."""
    OPTIMIZER = "optimizer"
    """The optimizer's `step` and `zero_grad`, and the gradient scaler's work (if there is one)."""
    OTHER = "other"
    """In a script, all else in a step: clipping, logging, schedulers. Workloads have none."""


def phases_of(loop: str, device: str) -> tuple[Phase, ...]:
    """A workload's phases: no transfer on the CPU, no backward and optimizer in evaluation."""
    absent = {Phase.OTHER}
    if loop != "train":
        absent |= {Phase.BACKWARD, Phase.OPTIMIZER}
    if device == "cpu":
        absent.add(Phase.TRANSFER)
    return tuple(phase for phase in Phase if phase not in absent)


PHASES: tuple[str, ...] = tuple(phase.value for phase in Phase)
"""The names of all phases, in order."""
STEP = "step"
"""The name of the whole step wherever its value is listed along with the phases."""
