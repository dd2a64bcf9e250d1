"""Updates parameters at the end of a step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True)
class Update:
    """The update of an optimizer's parameters, with clipping and scheduler.

    Attributes:
        optimizer: The optimizer.
        clip: Changes the gradients of the optimizer's parameters before the optimizer steps.
        scheduler: The learning-rate scheduler, which steps after the optimizer.
    """

    optimizer: Optimizer
    clip: Callable[[list[nn.Parameter]], Any] | None = None
    scheduler: LRScheduler | None = None

    @property
    def parameters(self) -> Iterator[nn.Parameter]:
        """The optimizer's parameters, of all groups."""
        return (parameter for group in self.optimizer.param_groups for parameter in group["params"])

    def __call__(self, scaler: GradScaler | None) -> None:
        """Clips the gradients, steps the optimizer and the scheduler, and clears the gradients.

        Args:
            scaler: The scaler that scaled the loss; the caller must call `scaler.update`.
        """
        if self.clip is not None:
            if scaler is not None:
                scaler.unscale_(self.optimizer)
            self.clip(list(self.parameters))
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
        if self.scheduler is not None:
            self.scheduler.step()
        self.optimizer.zero_grad()
