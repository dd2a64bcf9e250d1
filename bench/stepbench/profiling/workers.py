"""Times the parts of each loader worker: reading, each transform and collation.

`torch.profiler` does not see into loader workers. So the data set, its transforms and the collation
are timed in the workers, and the times travel with the batch. Meanwhile the training process only
takes batches, so that workers never wait for room in their queue.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    default_collate,
    get_worker_info,
)

from stepbench.training.dataloader import DatasetProxy
from stepbench_reports.schema.profile import WorkerFacts

MIN_S, MAX_S = 0.5, 3.0
"""The least and the most time for which batches are timed, seconds."""
MIN_BATCHES = 4
"""The least number of batches of each worker, unless `MAX_S` ends first."""
READ, COLLATE, HAND_OVER = "read", "collate", "hand over"
"""The parts of a worker's time besides the transforms: `__getitem__` without the transforms; making
a batch of items; and the rest, which is passing the batch to the training process."""
_TRANSFORMS = ("transform", "target_transform")
"""The attributes that hold a data set's transforms, by torchvision's convention."""


class Stopwatch:
    """Adds up seconds by name; each process has one stopwatch."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.items = 0
        self.began: float | None = None

    def begin(self) -> float:
        """Returns the current time; the first call after `finish_batch` begins a batch."""
        now = time.perf_counter()
        if self.began is None:
            self.began = now
        return now

    def add(self, name: str, began: float) -> None:
        """Adds the time since `began` to the seconds of `name`."""
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def finish_batch(self) -> tuple[float, int, dict[str, float]]:
        """Returns the batch's begin, its number of items and the seconds by name; then resets."""
        batch = (self.began or time.perf_counter(), self.items, self.seconds)
        self.__init__()  # type: ignore[misc]  # resets to the initial state
        return batch


_STOPWATCH = Stopwatch()
"""The stopwatch of this process; each worker has a separate copy."""
_ITEM = "item"


class TimedData(DatasetProxy, Dataset[Any]):
    """A map-style data set whose items are timed."""

    def __len__(self) -> int:
        """Counts the items."""
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401  # whatever the sampler gives
        """Reads an item and adds its time."""
        began = _STOPWATCH.begin()
        item = self._dataset[index]
        _STOPWATCH.add(_ITEM, began)
        _STOPWATCH.items += 1
        return item

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        """Reads a batch's items, all at once if the data set can."""
        get_items = getattr(self._dataset, "__getitems__", None)
        if get_items is None:
            return [self[index] for index in indices]
        began = _STOPWATCH.begin()
        items: list[Any] = get_items(indices)
        _STOPWATCH.add(_ITEM, began)
        _STOPWATCH.items += len(indices)
        return items


class TimedStream(DatasetProxy, IterableDataset[Any]):
    """A stream whose items are timed."""

    def __iter__(self) -> Iterator[Any]:
        """Yields the stream's items and adds their times."""
        items = iter(self._dataset)
        while True:
            began = _STOPWATCH.begin()
            try:
                item = next(items)
            except StopIteration:
                return
            _STOPWATCH.add(_ITEM, began)
            _STOPWATCH.items += 1
            yield item


def time_items(dataset: Any) -> Dataset[Any]:  # noqa: ANN401  # any data set
    """Wraps a data set so that its items are timed."""
    return TimedStream(dataset) if isinstance(dataset, IterableDataset) else TimedData(dataset)


class TimedTransform:
    """A transform whose time is added under its name."""

    def __init__(self, transform: Callable[..., Any], name: str) -> None:
        self._transform = transform
        self._name = name

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401  # whatever the transform takes
        """Transforms an item."""
        began = time.perf_counter()
        transformed = self._transform(*arguments, **named)
        _STOPWATCH.add(self._name, began)
        return transformed


@dataclass(frozen=True)
class BatchTimes:
    """The times of one batch in its worker, seconds; `began` and `ended` are by `perf_counter`."""

    worker: int
    items: int
    began: float
    ended: float
    seconds: dict[str, float]


class TimedCollation:
    """Makes a batch of items, and attaches the times of making it."""

    def __init__(self, collate: Callable[[list[Any]], Any] | None) -> None:
        self._collate = collate or default_collate

    def __call__(self, items: list[Any]) -> tuple[Any, BatchTimes]:
        """Returns a batch and its times."""
        began = time.perf_counter()
        batch = self._collate(items)
        _STOPWATCH.add(COLLATE, began)
        info = get_worker_info()
        first, count, seconds = _STOPWATCH.finish_batch()
        worker = 0 if info is None else info.id
        return batch, BatchTimes(worker, count, first, time.perf_counter(), seconds)


def time_transforms(dataset: Any) -> None:  # noqa: ANN401  # any map-style data set
    """Times a data set's transforms from now on, each by the name of its function or class.

    Args:
        dataset: Holds its transforms in the attributes that torchvision's data sets use. The parts
            of a `Subset` or a `ConcatDataset` are timed too.
    """
    if isinstance(dataset, Subset):
        time_transforms(dataset.dataset)
    elif isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            time_transforms(part)
    for holder in (dataset, getattr(dataset, "transforms", None)):
        for attribute in _TRANSFORMS:
            transform = getattr(holder, attribute, None)
            if callable(transform) and not isinstance(transform, TimedTransform):
                setattr(holder, attribute, _timed(transform))


def _timed(transform: Callable[..., Any]) -> Callable[..., Any]:
    parts = getattr(transform, "transforms", None)
    is_torchvision = type(transform).__module__.startswith("torchvision.")
    if is_torchvision and isinstance(parts, list):  # a Compose: its parts are timed
        transform.transforms = [_timed(part) for part in parts]  # type: ignore[attr-defined]  # checked above
        return transform
    if isinstance(transform, TimedTransform):
        return transform
    name = getattr(transform, "__name__", None) or type(transform).__name__
    return TimedTransform(transform, name)


def time_workers(loader: DataLoader[Any]) -> tuple[WorkerFacts, ...]:
    """Loads batches for a while, and sums up how each worker spent its time.

    Args:
        loader: A loader without end, whose data set and collation are timed.
    """
    workers = max(1, loader.num_workers)
    batches = iter(loader)
    next(batches)  # the loader's start is not counted
    times: list[BatchTimes] = []
    began = time.perf_counter()
    while True:
        times += [batch_times for _, batch_times in (next(batches) for _ in range(workers))]
        elapsed_s = time.perf_counter() - began
        enough = elapsed_s >= MIN_S and len(times) >= MIN_BATCHES * workers
        if enough or elapsed_s >= MAX_S:
            return tuple(_summarize(times))


def _summarize(times: list[BatchTimes]) -> Iterator[WorkerFacts]:
    for number in sorted({batch.worker for batch in times}):
        batches = [batch for batch in times if batch.worker == number]
        elapsed_s = batches[-1].ended - batches[0].began
        seconds: dict[str, float] = {}
        for batch in batches:
            for name, part_s in batch.seconds.items():
                seconds[name] = seconds.get(name, 0.0) + part_s
        item_s, collate_s = seconds.pop(_ITEM, 0.0), seconds.pop(COLLATE, 0.0)
        parts = {READ: item_s - sum(seconds.values()), **seconds, COLLATE: collate_s}
        parts[HAND_OVER] = elapsed_s - sum(parts.values())
        yield WorkerFacts(
            worker=number,
            batches=len(batches),
            samples=sum(batch.items for batch in batches),
            elapsed_s=elapsed_s,
            seconds=parts,
        )
