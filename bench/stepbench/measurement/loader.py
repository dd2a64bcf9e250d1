"""A loader at work: its start, its own best rate, and what an epoch's end costs."""

import time
from collections.abc import Iterator  # noqa: TC003  # read by those who ask for type hints
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch.utils.data import DataLoader

from stepbench.errors import UsageError

LEAST_S = 0.4
"""How long batches are counted at least."""
MOST_S = 2.0
"""How long at most, however few batches that were."""
READY_TIMES = 8
"""How many times what the workers keep ready is consumed, time allowing."""


@dataclass(frozen=True)
class Rate:
    """A loader's own rate.

    Attributes:
        batches: How many were counted.
        elapsed_s: From the arrival of the one before the first to that of the last.
    """

    batches: int
    elapsed_s: float

    @property
    def batches_per_s(self) -> float:
        """Batches per second."""
        return self.batches / self.elapsed_s


class LoaderSource:
    """A loader and the batches that come out of it.

    Attributes:
        batches: Without end, once the source has been started.

    Args:
        loader: Endless itself.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        self.batches: Iterator[Any] = iter(())

    @property
    def ready(self) -> int:
        """The number of batches that the loader's workers keep prepared."""
        return self._loader.num_workers * (self._loader.prefetch_factor or 0)

    def start(self) -> float:
        """Begins an epoch and waits for its first batch, which is the next to be given.

        What went before ends first, as an epoch does: its workers too, unless they are persistent.

        Returns:
            How long that took, seconds.

        Raises:
            UsageError: There was none.
        """
        began = time.perf_counter()
        self.batches = iter(())
        iterator = iter(self._loader)
        try:
            first = next(iterator)
        except StopIteration:
            raise UsageError(
                "Workload(dataset=...): its stream gave no item; is its path right?"
            ) from None
        elapsed_s = time.perf_counter() - began
        self.batches = chain([first], iterator)
        return elapsed_s

    def own_rate(self) -> Rate:
        """Measures the rate of batches when nobody works on them.

        What was ready beforehand is consumed first, uncounted. Workers deliver in turn and may well
        finish at the same moment, so what is counted is whole rounds of all of them.
        """
        for _ in range(max(1, self.ready)):
            next(self.batches)
        in_turn = max(1, self._loader.num_workers)
        batches = 0
        began = time.perf_counter()
        while True:
            for _ in range(in_turn):
                next(self.batches)
            batches += in_turn
            elapsed_s = time.perf_counter() - began
            if (elapsed_s >= LEAST_S and batches >= READY_TIMES * self.ready) or (
                elapsed_s >= MOST_S
            ):
                return Rate(batches, elapsed_s)
