"""Data sets that are streams: gone through again and again, in loader workers too."""

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
from stepbench.training.accuracy import MOST_STREAMED, some_of
from stepbench.training.dataloader import EndlessStream, length_of, make_loader
from stepbench.workload.workload import Workload


class Numbers(IterableDataset[int]):
    """Some numbers, shared out among loader workers."""

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


def share_out(worker: int) -> None:
    """The documentation's own way."""
    info = get_worker_info()
    assert info is not None
    dataset: Any = info.dataset
    each = (dataset.end - dataset.start) // info.num_workers
    dataset.start += worker * each
    dataset.end = dataset.start + each


class Once(IterableDataset[int]):
    """A stream that can be gone through once only."""

    def __init__(self) -> None:
        self._items = iter(range(5))

    def __iter__(self) -> Iterator[int]:
        return self._items


class WithoutEnd(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield 1


def loader(dataset: Any, batch_size: int = 4, num_workers: int = 0, **more: Any) -> Any:
    workload = Workload(
        model=lambda: torch.nn.Linear(1, 1),
        dataset=lambda: dataset,
        loss=torch.nn.MSELoss(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        loader=more,
    )
    case = Case(workload="numbers", batch_size=batch_size, num_workers=num_workers)
    return make_loader(workload, dataset, case, seed=0)


def test_a_stream_begins_again_and_batches_are_whole() -> None:
    found = [batch.tolist() for batch in islice(iter(loader(Numbers(6))), 4)]
    assert found == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5], [0, 1, 2, 3]]


def test_each_worker_goes_through_its_own_part() -> None:
    found = [batch.tolist() for batch in islice(iter(loader(Numbers(6), 3, 2)), 4)]
    assert found == [[0, 2, 4], [1, 3, 5], [0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("around", [lambda stream: stream, TimedStream])
def test_a_worker_init_fn_shares_a_stream_out(around: Any) -> None:
    batches = loader(around(Range(0, 6)), 3, 2, worker_init_fn=share_out)
    found = [batch.tolist() for batch in islice(iter(batches), 4)]
    assert found == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]]


def test_a_worker_without_a_part_is_left_out() -> None:
    found = [batch.tolist() for batch in islice(iter(loader(Numbers(1), 2, 2)), 3)]
    assert found == [[0, 0]] * 3


def test_a_stream_that_has_an_end_for_good_is_told() -> None:
    with pytest.raises(UsageError, match="a Once, gave nothing when it was gone through again"):
        list(islice(EndlessStream(Once()), 6))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_empty_stream_is_told(num_workers: int) -> None:
    with pytest.raises(UsageError, match="its stream gave no item"):
        LoaderSource(loader(Numbers(0), num_workers=num_workers)).start()


def test_a_stream_has_no_length() -> None:
    assert length_of(Numbers(3), "numbers") is None


def test_a_stream_of_test_data_is_cut() -> None:
    assert some_of(Numbers(5), None) == [0, 1, 2, 3, 4]
    assert some_of(Numbers(5), 2) == [0, 1]
    assert len(some_of(WithoutEnd(), None)) == MOST_STREAMED
