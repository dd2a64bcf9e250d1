"""A repository for the gate study: a small training step, and slowdowns in its phases."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

WORKLOAD = "train.py:make"
TRAIN = '''
"""A multilayer perceptron on random vectors; each phase can have a slowdown."""

import torch
from torch import nn
from torch.utils.data import TensorDataset, default_collate

from stepbench import Workload
from slowdown import spin


class SpinInBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        spin("backward")
        return gradient


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
        )

    def forward(self, x):
        spin("forward")
        return SpinInBackward.apply(self.layers(x))


class SGD(torch.optim.SGD):
    def step(self, closure=None):
        spin("optimizer")
        return super().step(closure)


def collate(items):
    spin("dataload")
    return default_collate(items)


def make():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4096, 256, generator=generator)
    targets = torch.randint(0, 10, (4096,), generator=generator)
    data = TensorDataset(inputs, targets)
    return Workload(
        model=Net,
        dataset=lambda: data,
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda parameters: SGD(parameters, lr=0.01, momentum=0.9),
        collate=collate,
    )
'''
BLOCKS_TRAIN = '''
"""Trains a small residual network on random vectors."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from stepbench import Workload
from net import Net


def make():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4096, 64, generator=generator)
    data = TensorDataset(vectors, torch.randint(0, 10, (4096,), generator=generator))
    return Workload(
        model=Net,
        dataset=lambda: data,
        loss=nn.CrossEntropyLoss(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.9),
    )
'''
BLOCKS_NET = '''
"""A small residual network."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        change = torch.relu(self.linear(x)){clone}
        return x + change


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(64) for _ in range(16)))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.blocks(x))
'''
SLOWDOWN = '''
"""A slowdown of {seconds:.9f} s in the {phase} phase. Small operators keep the caches warm."""

import time

import torch

PHASE, SECONDS = "{phase}", {seconds!r}
_small = torch.zeros(64)


def spin(phase):
    if phase == PHASE and SECONDS:
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            torch.add(_small, 1.0, out=_small)
'''


@dataclass(frozen=True, order=True)
class Dose:
    """A slowdown.

    Attributes:
        share: The slowdown as a share of the step.
        phase: The phase that is slowed down.
    """

    share: float
    phase: str = "forward"

    @property
    def name(self) -> str:
        """The slowdown's name for a directory."""
        return f"{self.phase}-{self.share:g}"


def make(directory: Path) -> Path:
    """Makes a repository with one commit and no slowdown."""
    directory.mkdir(parents=True)
    write(directory, Dose(0.0), 0.0)
    return _committed(directory)


def make_blocks(directory: Path) -> Path:
    """Makes a repository with one commit, whose head can have a needless clone."""
    directory.mkdir(parents=True)
    write_blocks(directory, clone=False)
    return _committed(directory)


def write_blocks(directory: Path, *, clone: bool) -> None:
    """Writes the files of a small residual network.

    Args:
        directory: The repository.
        clone: True if the forward pass of a block has a needless `.clone()`.
    """
    (directory / "train.py").write_text(BLOCKS_TRAIN.lstrip())
    (directory / "net.py").write_text(BLOCKS_NET.lstrip().format(clone=".clone()" if clone else ""))


def _committed(directory: Path) -> Path:
    """Commits the files of a directory to a new repository."""
    for arguments in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        [
            *("-c", "user.name=stepbench", "-c", "user.email=study@invalid"),
            *("commit", "-q", "-m", "A training step"),
        ],
    ):
        subprocess.run(["git", "-C", str(directory), *arguments], check=True)  # noqa: S607
    return directory


def slowed(directory: Path, dose: Dose, step_s: float) -> Path:
    """Writes the repository's files with a slowdown."""
    directory.mkdir(parents=True)
    write(directory, dose, dose.share * step_s)
    return directory


def write(directory: Path, dose: Dose, seconds: float) -> None:
    """Writes the repository's files; the dose's phase spins for so many seconds."""
    (directory / "train.py").write_text(TRAIN.lstrip())
    (directory / "slowdown.py").write_text(
        SLOWDOWN.lstrip().format(phase=dose.phase, seconds=seconds)
    )
