"""Workloads with one bottleneck each, and the same workloads with the bottleneck removed.

Each item also takes `REST_S` of a core, so that a step without its bottleneck is not empty.
"""

import itertools
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from stepbench import Workload

WIDTH = 64
REST_S = 30e-6
"""The time of a core that an item takes in every workload."""


class Items(Dataset[Any]):
    """Vectors of `WIDTH` numbers.

    Args:
        burn_s: The time for which making an item keeps a core busy, seconds. It is time of the
            core, so that items take longer where cores are shared.
        wait_s: The time for which an item then has to be waited for, seconds.
    """

    def __init__(self, burn_s: float = REST_S, wait_s: float = 0.0) -> None:
        self._burn_s = burn_s
        self._wait_s = wait_s
        self._item = torch.ones(WIDTH)

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        until_s = time.thread_time() + self._burn_s
        while time.thread_time() < until_s:
            pass
        if self._wait_s:
            time.sleep(self._wait_s)
        return self._item, index % 2


class ManyOperators(nn.Module):
    """Many operators on very little data."""

    def __init__(self, operators: int) -> None:
        super().__init__()
        self.linear = nn.Linear(WIDTH, 2)
        self._operators = operators

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 2)."""
        scores: Tensor = self.linear(x)
        for _ in range(self._operators):
            scores = scores * 1.0
        return scores


class Convolutions(nn.Module):
    """Much arithmetic with few parameters, on vectors as images of 8 by 8 pixels."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        widths = [1] + [channels] * layers
        self.layers = nn.Sequential(
            *(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        )
        self.linear = nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 2) of vectors (N, 64)."""
        scores: Tensor = self.linear(self.layers(x.view(-1, 1, 8, 8)).mean((2, 3)))
        return scores


class Table(nn.Module):
    """Many parameters of which a batch uses few, as in a recommender; gradients are dense."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.table = nn.Embedding(rows, WIDTH)
        self.linear = nn.Linear(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (N, 2) of vectors (N, 64)."""
        scores: Tensor = self.linear(x + self.table(torch.arange(len(x), device=x.device)))
        return scores


class NoUpdate(torch.optim.SGD):
    """An optimizer that does not change the parameters."""

    def step(self, closure: Any = None) -> Any:
        """Does nothing."""


def _sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1e-3)


def _workload(model: Callable[[], nn.Module], **changes: Any) -> Workload:
    parts: dict[str, Any] = {
        "model": model,
        "dataset": Items,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": _sgd,
        **changes,
    }
    return Workload(**parts)


def data() -> Workload:
    """Bottleneck: data. Each item has to be waited for."""
    return _workload(partial(Convolutions, 32, 4), dataset=lambda: Items(wait_s=500e-6))


def data_removed() -> Workload:
    """The same workload with batches that are ready: nothing is loaded, collated or handed over."""
    return _workload(partial(Convolutions, 32, 4), dataset=None, batches=_ready)


def _ready(batch_size: int) -> Callable[[], tuple[Tensor, Tensor]]:
    """A function that returns the same batch each time, of items as `Items` has them."""
    batch = torch.ones(batch_size, WIDTH), torch.arange(batch_size) % 2
    return lambda: batch


def burn() -> Workload:
    """Bottleneck: the cores that loader workers take. Each item keeps a core busy."""
    return _workload(partial(Convolutions, 64, 6), dataset=lambda: Items(burn_s=200e-6))


def burn_removed() -> Workload:
    """The same workload with nothing to do for an item."""
    return _workload(partial(Convolutions, 64, 6), dataset=lambda: Items(burn_s=0.0))


def compute() -> Workload:
    """Bottleneck: compute. The model has six convolutions of 64 channels."""
    return _workload(partial(Convolutions, 64, 6))


def compute_removed() -> Workload:
    """The same workload with very little arithmetic."""
    return _workload(partial(Convolutions, 1, 6))


def fixed() -> Workload:
    """Bottleneck: the fixed cost. The model has four hundred operators on a few numbers each."""
    return _workload(partial(ManyOperators, 400))


def fixed_removed() -> Workload:
    """The same workload without these operators."""
    return _workload(partial(ManyOperators, 0))


def optimizer() -> Workload:
    """Bottleneck: the optimizer. Adam updates many parameters that the model hardly uses."""
    return _workload(
        partial(Table, 32_768),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-4, foreach=False),
    )


def optimizer_removed() -> Workload:
    """The same workload with an optimizer that does nothing."""
    return _workload(
        partial(Table, 32_768), optimizer=lambda parameters: NoUpdate(parameters, lr=1e-4)
    )
