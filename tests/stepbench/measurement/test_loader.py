import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from stepbench.measurement.loader import READY_FACTOR, LoaderSource, Rate


class ProcessIds(Dataset[Any]):
    """Items with the id of the process that made them."""

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, os.getpid()


def processes(source: LoaderSource, batches: int = 8) -> set[int]:
    return {pid for _ in range(batches) for pid in next(source.batches)[1].tolist()}


def loader(**options: Any) -> DataLoader[Any]:
    return DataLoader(ProcessIds(), batch_size=2, **options)


def test_a_start_leaves_the_first_batch_in_the_stream() -> None:
    source = LoaderSource(loader())
    assert source.start() > 0
    assert next(source.batches)[0].tolist() == [0, 1]
    assert next(source.batches)[0].tolist() == [2, 3]


def test_a_restart_begins_again_with_new_workers() -> None:
    source = LoaderSource(loader(num_workers=2))
    source.start()
    first = processes(source)
    source.start()
    assert next(source.batches)[0].tolist() == [0, 1]
    assert len(first) == 2
    assert not first & processes(source)
    assert all(_ended(pid) for pid in first)


def test_persistent_workers_outlive_a_restart() -> None:
    source = LoaderSource(loader(num_workers=2, persistent_workers=True))
    source.start()
    first = processes(source)
    source.start()
    assert next(source.batches)[0].tolist() == [0, 1]
    assert processes(source) == first


def _ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_ready_counts_prefetched_batches() -> None:
    assert LoaderSource(loader()).ready == 0
    assert LoaderSource(loader(num_workers=2, prefetch_factor=3)).ready == 6


class Clock:
    """A clock that each batch advances by its duration, seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def batches(self, durations_s: Iterator[float]) -> Iterator[int]:
        for number, duration_s in enumerate(durations_s):
            self.now_s += duration_s
            yield number


@pytest.mark.parametrize("workers", [1, 2])
def test_the_rate_counts_whole_rounds_and_not_what_was_ready(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    source = LoaderSource(loader(num_workers=workers, prefetch_factor=2))

    def durations() -> Iterator[float]:
        yield from [0.0] * source.ready  # these are ready
        while True:  # then the workers finish together, one round after the other
            yield 0.02
            yield from [0.0] * (workers - 1)

    source.batches = clock.batches(durations())
    monkeypatch.setattr("stepbench.measurement.loader.time.perf_counter", lambda: clock.now_s)
    rate = source.measure_rate()
    assert rate.batches % workers == 0
    assert rate.batches_per_s == pytest.approx(workers / 0.02)
    assert rate.batches >= READY_FACTOR * source.ready


def test_a_slow_loader_is_not_waited_for_longer_than_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    source = LoaderSource(loader(num_workers=2))
    source.batches = clock.batches(iter([5.0] * 100))
    monkeypatch.setattr("stepbench.measurement.loader.time.perf_counter", lambda: clock.now_s)
    assert source.measure_rate() == Rate(batches=2, elapsed_s=10.0)


def test_batches_are_what_the_data_set_holds() -> None:
    source = LoaderSource(loader())
    source.start()
    assert torch.equal(next(source.batches)[1], torch.tensor([os.getpid()] * 2))
