"""Loops in the styles of scripts, each timed by hand at the boundaries that hooks are to find.

Imported by `scripts.py`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

WIDTH, BATCH = 112, 32


@dataclass
class Hand:
    """A clock by hand: the time of each phase, seconds.

    Attributes:
        sums: The sums so far.
        at: The time of the last reading.
    """

    sums: dict[str, float] = field(default_factory=dict)
    at: float = field(default_factory=time.perf_counter)

    def lap(self, phase: str) -> None:
        """Adds the time since the last reading to a phase."""
        now = time.perf_counter()
        self.sums[phase] = self.sums.get(phase, 0.0) + now - self.at
        self.at = now


def net() -> nn.Module:
    """A small net, whose step with `BATCH` samples takes a millisecond or two."""
    return nn.Sequential(
        nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH), nn.Linear(WIDTH, 10)
    )


def batches(size: int = BATCH) -> Iterator[Any]:
    """Batches of a size without end; an iterator of a `DataLoader` for each epoch."""
    data = TensorDataset(torch.randn(100 * size, WIDTH), torch.randint(0, 10, (100 * size,)))
    while True:
        yield from DataLoader(data, batch_size=size, shuffle=True)


def backward(loss: Tensor) -> None:
    """The backward pass."""
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped


def loss_of(model: nn.Module, batch: Any) -> Tensor:
    """The loss of a batch."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def backward_of(model: nn.Module, batch: Any, hand: Hand) -> Tensor:
    """A forward and a backward pass, timed by hand; returns the loss."""
    loss = loss_of(model, batch)
    hand.lap("forward")
    backward(loss)
    hand.lap("backward")
    return loss


Style = Callable[[nn.Module, Any, Hand], Iterator[None]]
"""A loop that yields after each step."""


def plain(model: nn.Module, optimizer: Any, hand: Hand) -> Iterator[None]:
    """The plain loop, with clipping."""
    for batch in batches():
        hand.lap("dataload")
        optimizer.zero_grad()
        backward_of(model, batch, hand)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        hand.lap("other")
        optimizer.step()
        hand.lap("optimizer")
        yield
        hand.lap("other")


def accumulating(model: nn.Module, optimizer: Any, hand: Hand) -> Iterator[None]:
    """Two micro-batches a step."""
    source = batches()
    while True:
        for _ in range(2):
            batch = next(source)
            hand.lap("dataload")
            loss = loss_of(model, batch) / 2
            hand.lap("forward")
            backward(loss)
            hand.lap("backward")
        optimizer.step()
        hand.lap("optimizer")
        optimizer.zero_grad()
        yield
        hand.lap("other")


def scaled(model: nn.Module, optimizer: Any, hand: Hand) -> Iterator[None]:
    """With a `GradScaler`."""
    scaler = torch.amp.GradScaler("cpu")
    for batch in batches():
        hand.lap("dataload")
        optimizer.zero_grad()
        loss = loss_of(model, batch)
        scaled_loss = scaler.scale(loss)
        hand.lap("forward")
        backward(scaled_loss)
        hand.lap("backward")
        scaler.step(optimizer)
        hand.lap("optimizer")
        scaler.update()
        yield
        hand.lap("other")


def without_loader(model: nn.Module, optimizer: Any, hand: Hand) -> Iterator[None]:
    """NanoGPT's style: the next batch is made between forward and backward, by no loader."""
    data, labels = torch.randn(100 * BATCH, WIDTH), torch.randint(0, 10, (100 * BATCH,))

    def get_batch() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(data), (BATCH,))
        return data[rows], labels[rows]

    batch = get_batch()
    hand.lap("other")
    while True:
        loss = loss_of(model, batch)
        batch = get_batch()
        hand.lap("forward")
        backward(loss)
        hand.lap("backward")
        optimizer.step()
        hand.lap("optimizer")
        optimizer.zero_grad()
        yield
        hand.lap("other")


def closure(model: nn.Module, optimizer: Any, hand: Hand) -> Iterator[None]:
    """Forward and backward in the optimizer's closure, as Lightning does."""
    for batch in batches():
        hand.lap("dataload")

        def evaluate(batch: Any = batch) -> Tensor:
            optimizer.zero_grad()
            hand.lap("optimizer")
            return backward_of(model, batch, hand)

        optimizer.step(evaluate)
        hand.lap("optimizer")
        yield
        hand.lap("other")


def evaluating(model: nn.Module, optimizer: Any, hand: Hand) -> Iterator[None]:
    """With `validate()` every ten steps, as torchvision's references have it."""
    held_out = TensorDataset(torch.randn(4 * BATCH, WIDTH), torch.randint(0, 10, (4 * BATCH,)))

    def validate() -> None:
        model.eval()
        with torch.no_grad():
            for batch in DataLoader(held_out, batch_size=BATCH):
                loss_of(model, batch)
        model.train()

    for number, batch in enumerate(batches()):
        hand.lap("dataload")
        optimizer.zero_grad()
        backward_of(model, batch, hand)
        optimizer.step()
        hand.lap("optimizer")
        yield
        hand.lap("other")
        if number % 10 == 9:
            validate()
            hand.lap("evaluation")


def two_optimizers(model: nn.Module, optimizer: Any, hand: Hand) -> Iterator[None]:
    """Two updates a step, by two optimizers."""
    second = torch.optim.SGD(model.parameters(), lr=1e-4)
    for batch in batches():
        hand.lap("dataload")
        for each in (optimizer, second):
            backward_of(model, batch, hand)
            each.step()
            hand.lap("optimizer")
            each.zero_grad()
            hand.lap("other")
        yield


STYLES: dict[str, Style] = {
    "plain loop with clipping": plain,
    "two micro-batches": accumulating,
    "GradScaler": scaled,
    "no DataLoader, next batch before backward": without_loader,
    "closure": closure,
    "evaluation every ten steps": evaluating,
    "two optimizers": two_optimizers,
}
