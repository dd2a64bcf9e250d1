"""The phases of a training step."""

from enum import StrEnum


class Phase(StrEnum):
    """A part of a training step, in the order in which a step goes through them.

    Every moment of a step belongs to exactly one phase, so that the laps of a step add up to it.
    """

    DATALOAD = "dataload"
    """Waiting for the `DataLoader`'s next batch; with no workers, also making it."""
    TRANSFER = "transfer"
    """Moving the batch to the device. Does not exist on the CPU."""
    FORWARD = "forward"
    """The model's output and the loss."""
    BACKWARD = "backward"
    """The gradients."""
    OPTIMIZER = "optimizer"
    """`step` and `zero_grad` (and the gradient scaler's part, where there is one)."""


def phases_of(loop: str, device: str) -> tuple[Phase, ...]:
    """The phases of a step: nothing is transferred on the CPU, nothing learned in evaluation."""
    absent = set() if loop == "train" else {Phase.BACKWARD, Phase.OPTIMIZER}
    if device == "cpu":
        absent.add(Phase.TRANSFER)
    return tuple(phase for phase in Phase if phase not in absent)


PHASES: tuple[str, ...] = tuple(phase.value for phase in Phase)
"""The names of all phases, in order."""
STEP = "step"
"""The name under which a whole step stands beside its phases."""
