"""Streams that are iterated without end, also in loader workers."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset, get_worker_info

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.measurement.loader import LoaderSource
from stepbench.profiling.workers import TimedStream
from stepbench.training.accuracy import MAX_STREAMED, limit_samples
from stepbench.training.dataloader import EndlessStream, length_of, make_loader
from stepbench.workload.workload import Workload


class Numbers(IterableDataset[int]):
    """Some numbers, split among loader workers."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        first, stride = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self._count, stride))


class Range(IterableDataset[int]):
    """Numbers from `start` to `end`, as in the documentation of `IterableDataset`."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.end))


def split_stream(worker: int) -> None:
    """The `worker_init_fn` of the documentation of `IterableDataset`."""
    info = get_worker_info()
    assert info is not None
    dataset: Any = info.dataset
    length = (dataset.end - dataset.start) // info.num_workers
    dataset.start += worker * length
    dataset.end = dataset.start + length


class Once(IterableDataset[int]):
    """A stream that can be iterated only once."""

    def __init__(self) -> None:
        self._items = iter(range(5))

    def __iter__(self) -> Iterator[int]:
        return self._items


class WithoutEnd(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


def loader(dataset: Any, batch_size: int = 4, num_workers: int = 0, **arguments: Any) -> Any:
    workload = Workload(
        model=lambda: torch.nn.Linear(1, 1),
        dataset=lambda: dataset,
        loss=torch.nn.MSELoss(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        loader=arguments,
    )
    case = Case(workload="numbers", batch_size=batch_size, num_workers=num_workers)
    return make_loader(workload, dataset, case, seed=0)


def test_a_stream_begins_again_and_batches_are_whole() -> None:
    batches = [batch.tolist() for batch in islice(iter(loader(Numbers(6))), 4)]
    assert batches == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5], [0, 1, 2, 3]]


def test_each_worker_yields_its_part() -> None:
    batches = [batch.tolist() for batch in islice(iter(loader(Numbers(6), 3, 2)), 4)]
    assert batches == [[0, 2, 4], [1, 3, 5], [0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("wrap", [lambda stream: stream, TimedStream])
def test_a_worker_init_fn_splits_a_stream(wrap: Any) -> None:
    stream_loader = loader(wrap(Range(0, 6)), 3, 2, worker_init_fn=split_stream)
    batches = [batch.tolist() for batch in islice(iter(stream_loader), 4)]
    assert batches == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]


def test_a_worker_without_a_part_is_left_out() -> None:
    batches = [batch.tolist() for batch in islice(iter(loader(Numbers(1), 2, 2)), 3)]
    assert batches == [[0, 0]] * 3


def test_a_stream_that_cannot_be_repeated_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\(Once\) yields no items in the second iteration"):
        list(islice(EndlessStream(Once()), 6))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_empty_stream_is_refused(num_workers: int) -> None:
    with pytest.raises(UsageError, match="the stream yields no items"):
        LoaderSource(loader(Numbers(0), num_workers=num_workers)).start()


def test_a_stream_has_no_length() -> None:
    assert length_of(Numbers(3), "numbers") is None


def test_a_stream_of_test_data_is_cut() -> None:
    assert limit_samples(Numbers(5), None) == [0, 1, 2, 3, 4]
    assert limit_samples(Numbers(5), 2) == [0, 1]
    assert len(limit_samples(WithoutEnd(), None)) == MAX_STREAMED
