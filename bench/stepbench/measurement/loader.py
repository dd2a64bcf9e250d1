"""Measures a loader: its start, its rate without training, and its restart after an epoch."""

import time
from collections.abc import Iterator  # noqa: TC003  # read by those who ask for type hints
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch.utils.data import DataLoader

from stepbench.errors import UsageError

MIN_S = 0.4
"""The minimum time for which batches are counted, seconds."""
MAX_S = 2.0
"""The maximum time for which batches are counted, seconds, however few arrive."""
READY_FACTOR = 8
"""The minimum number of batches counted per batch that the workers keep ready, if time allows."""


@dataclass(frozen=True)
class Rate:
    """The rate of a loader while no training runs.

    Attributes:
        batches: The number of batches counted.
        elapsed_s: Time from the arrival of the batch before the first counted one to the arrival
            of the last, seconds.
    """

    batches: int
    elapsed_s: float

    @property
    def batches_per_s(self) -> float:
        """Batches per second."""
        return self.batches / self.elapsed_s


class LoaderSource:
    """A loader and its batches.

    Attributes:
        batches: The loader's batches: none until `start`, then without end.

    Args:
        loader: A loader whose batches never end.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader
        self.batches: Iterator[Any] = iter(())

    @property
    def ready(self) -> int:
        """The number of batches that the loader's workers keep prepared."""
        return self._loader.num_workers * (self._loader.prefetch_factor or 0)

    def start(self) -> float:
        """Begins an epoch and waits for its first batch, which `batches` then yields first.

        A previous epoch ends first; its workers end with it, unless they are persistent.

        Returns:
            The duration of the start, seconds.

        Raises:
            UsageError: The loader has no batch.
        """
        began = time.perf_counter()
        self.batches = iter(())
        iterator = iter(self._loader)
        try:
            first = next(iterator)
        except StopIteration:
            raise UsageError(
                "Workload(dataset=...): the stream yields no items; check its path"
            ) from None
        elapsed_s = time.perf_counter() - began
        self.batches = chain([first], iterator)
        return elapsed_s

    def measure_rate(self) -> Rate:
        """Measures the rate of batches while no training consumes them.

        Batches that were ready beforehand are consumed first, uncounted. Workers deliver in turn
        and may finish at the same moment, so whole rounds of one batch per worker are counted.
        """
        for _ in range(max(1, self.ready)):
            next(self.batches)
        workers = max(1, self._loader.num_workers)
        batches = 0
        began = time.perf_counter()
        while True:
            for _ in range(workers):
                next(self.batches)
            batches += workers
            elapsed_s = time.perf_counter() - began
            if (elapsed_s >= MIN_S and batches >= READY_FACTOR * self.ready) or (
                elapsed_s >= MAX_S
            ):
                return Rate(batches, elapsed_s)
