"""Workloads with device work of known length in each phase, and a transfer of known size."""

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stepbench import Workload

CYCLES = {"forward": 8_000_000, "backward": 12_000_000, "optimizer": 4_000_000}
BYTES = 64 * 2**20
SLOW_S = 0.008
"""The time for each item of the slow loader, seconds."""
_PINNED: list[Tensor] = []


def sleep(phase: str) -> None:
    """Keeps the device busy for a phase's cycles; the host does not wait."""
    torch.cuda._sleep(CYCLES[phase])  # type: ignore[no-untyped-call]  # torch leaves it untyped


class Spin(torch.autograd.Function):
    """The identity; keeps the device busy forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004  # autograd passes it
        """Returns the values."""
        sleep("forward")
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ARG004  # autograd passes it
        """Returns the gradient."""
        sleep("backward")
        return gradients[0]


class Net(nn.Module):
    """A model with one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Any:
        """The first column times the parameter."""
        apply: Any = Spin.apply
        return apply(x[:, 0] * self.w)


class Greedy(Net):
    """Allocates 4 TiB, more than any GPU has."""

    def forward(self, x: Tensor) -> Any:
        """Runs out of memory."""
        return x[:, 0] * self.w + torch.empty(2**42, dtype=torch.uint8, device=x.device)[0]


class Sgd(torch.optim.SGD):
    """SGD that keeps the device busy first."""

    def step(self, closure: Any = None) -> Any:
        """Steps."""
        sleep("optimizer")
        return super().step(closure)


class Items(Dataset[Any]):
    """Numbers; each takes a given time to load."""

    def __init__(self, load_s: float = 0.0) -> None:
        self._load_s = load_s

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, index: int) -> int:
        if self._load_s:
            time.sleep(self._load_s)
        return index


def collate(_items: list[Any]) -> tuple[Tensor, Tensor]:
    """Returns the same pinned batch each time, so that the loader costs almost nothing."""
    if not _PINNED:
        _PINNED.extend((torch.ones(4, BYTES // 16).pin_memory(), torch.zeros(4).pin_memory()))
    return _PINNED[0], _PINNED[1]


def squared(out: Tensor, target: Tensor) -> Tensor:
    """The mean squared error."""
    return ((out - target) ** 2).mean()


def _workload(load_s: float) -> Workload:
    return Workload(
        model=Net,
        dataset=lambda: Items(load_s),
        loss=squared,
        optimizer=lambda parameters: Sgd(parameters, lr=0.0),
        collate=collate,
    )


def fast() -> Workload:
    """Known work on the device, with a loader that is always ready."""
    return _workload(0.0)


def slow() -> Workload:
    """Known work on the device, with a loader for which the device has to wait."""
    return _workload(SLOW_S)


def greedy() -> Workload:
    """A model that needs more memory than any GPU has."""
    return Workload(
        model=Greedy,
        dataset=Items,
        loss=squared,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.0),
        collate=collate,
    )
