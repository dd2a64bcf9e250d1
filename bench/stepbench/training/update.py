"""Updates of parameters at a step's end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


@dataclass(frozen=True)
class Update:
    """An optimizer, and what goes with its step.

    Attributes:
        optimizer: The optimizer.
        clip: Changes the gradients of its parameters before they are used.
        scheduler: Steps after it.
    """

    optimizer: Optimizer
    clip: Callable[[list[nn.Parameter]], Any] | None = None
    scheduler: LRScheduler | None = None

    @property
    def parameters(self) -> Iterator[nn.Parameter]:
        """The optimizer's own."""
        return (each for group in self.optimizer.param_groups for each in group["params"])

    def __call__(self, scaler: GradScaler | None) -> None:
        """Clips, steps and leaves the parameters without gradients.

        Args:
            scaler: Has scaled the loss; its own update is left to the caller.
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
