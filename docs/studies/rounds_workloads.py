"""Workloads of the study of rounds: one twice, one with a known spin, one with planted stalls."""

import os
import time
from typing import Any

import torch
from torch import Tensor, nn

from stepbench import Workload

SAMPLES, BATCH_SIZE = 4096, 4
STALL_S, STALL_EVERY = 0.03, 20
"""The loader sleeps for `STALL_S` seconds in every `STALL_EVERY`th batch."""
SPIN_VARIABLE = "STEPBENCH_STUDY_SPIN_S"
"""The variable with the time for which a step of `spin` spins, seconds."""


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Random images like CIFAR-10's, in memory.

    Args:
        stalls: True if the loader sleeps now and then.
    """

    def __init__(self, *, stalls: bool = False) -> None:
        generator = torch.Generator().manual_seed(0)
        self._images = torch.randn(256, 3, 32, 32, generator=generator)
        self._stalls = stalls
        self._taken = 0

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self._taken += 1
        if self._stalls and self._taken % (STALL_EVERY * BATCH_SIZE) == 0:
            time.sleep(STALL_S)
        return self._images[index % len(self._images)], index % 10


class Net(nn.Sequential):
    """The lesson's conv net, with a spin in `forward`.

    Args:
        spin_s: The time to spin, seconds.
    """

    def __init__(self, spin_s: float = 0.0) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
            nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
        self._spin_s = spin_s

    def forward(self, value: Tensor) -> Tensor:
        """Spins, and computes the net's output."""
        until = time.perf_counter() + self._spin_s
        while self._spin_s and time.perf_counter() < until:
            pass
        for module in self:
            value = module(value)
        return value


def _workload(spin_s: float = 0.0, *, stalls: bool = False) -> Workload:
    return Workload(
        model=lambda: Net(spin_s),
        dataset=lambda: Images(stalls=stalls),
        loss=nn.CrossEntropyLoss(),
        optimizer=_sgd,
    )


def _sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.001, momentum=0.9)


def plain() -> Workload:
    """The workload that the others are compared with."""
    return _workload()


def same() -> Workload:
    """The same workload under another name."""
    return _workload()


def spin() -> Workload:
    """The same workload, which spins for a known time in each step."""
    return _workload(float(os.environ[SPIN_VARIABLE]))


def stall() -> Workload:
    """The same workload with a loader that stalls now and then."""
    return _workload(stalls=True)
