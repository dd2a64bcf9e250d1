"""A loader's time by its parts: reading, each transform and collation, in each of its workers.

`torch.profiler` does not see into loader workers. So the data set, its transforms and the collation
are timed where they run, and what they took travels with the batch. While that is done nothing else
is, so that workers never wait for room.
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

LEAST_S, MOST_S = 0.5, 3.0
"""How long batches are watched, at least and at most."""
LEAST_BATCHES = 4
"""How many of each worker, time allowing."""
READ, COLLATE, HAND_OVER = "read", "collate", "hand over"
"""Parts of a worker's time, beside the transforms: what `__getitem__` does apart from those; making
a batch of items; and the rest, which is passing it to the training process."""
_TRANSFORMS = ("transform", "target_transform")
"""Where torchvision's data sets keep what they do to an item; others follow them."""


class Stopwatch:
    """Adds up seconds by name; one in each process."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.items = 0
        self.began: float | None = None

    def begin(self) -> float:
        """Now; a batch begins with the first call after `taken`."""
        now = time.perf_counter()
        if self.began is None:
            self.began = now
        return now

    def add(self, name: str, began: float) -> None:
        """Adds what has passed since a moment."""
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began

    def taken(self) -> tuple[float, int, dict[str, float]]:
        """When the batch began, how many items it has and what was added; starts anew."""
        found = (self.began or time.perf_counter(), self.items, self.seconds)
        self.__init__()  # type: ignore[misc]  # as if new
        return found


_WATCH = Stopwatch()
"""This process's; a worker has a copy of its own."""
_ITEM = "item"


class TimedData(DatasetProxy, Dataset[Any]):
    """A map-style data set whose items are timed."""

    def __len__(self) -> int:
        """Counts the items."""
        return len(self._dataset)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401  # whatever the sampler gives
        """An item."""
        began = _WATCH.begin()
        item = self._dataset[index]
        _WATCH.add(_ITEM, began)
        _WATCH.items += 1
        return item

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        """A batch's items: all at once, where the data set can."""
        whole = getattr(self._dataset, "__getitems__", None)
        if whole is None:
            return [self[index] for index in indices]
        began = _WATCH.begin()
        items: list[Any] = whole(indices)
        _WATCH.add(_ITEM, began)
        _WATCH.items += len(indices)
        return items


class TimedStream(DatasetProxy, IterableDataset[Any]):
    """A stream whose items are timed."""

    def __iter__(self) -> Iterator[Any]:
        """Gives the stream's items."""
        items = iter(self._dataset)
        while True:
            began = _WATCH.begin()
            try:
                item = next(items)
            except StopIteration:
                return
            _WATCH.add(_ITEM, began)
            _WATCH.items += 1
            yield item


def timed(dataset: Any) -> Dataset[Any]:  # noqa: ANN401  # any data set
    """A data set whose items are timed."""
    return TimedStream(dataset) if isinstance(dataset, IterableDataset) else TimedData(dataset)


class TimedTransform:
    """A transform that is timed by its name."""

    def __init__(self, transform: Callable[..., Any], name: str) -> None:
        self._transform = transform
        self._name = name

    def __call__(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401  # whatever the transform takes
        """Transforms an item."""
        began = time.perf_counter()
        changed = self._transform(*arguments, **named)
        _WATCH.add(self._name, began)
        return changed


@dataclass(frozen=True)
class Times:
    """The times of one batch where it was made. Seconds; `began` and `ended` by `perf_counter`."""

    worker: int
    items: int
    began: float
    ended: float
    seconds: dict[str, float]


class TimedCollation:
    """Makes a batch of items, and adds what it took to make them."""

    def __init__(self, collate: Callable[[list[Any]], Any] | None) -> None:
        self._collate = collate or default_collate

    def __call__(self, items: list[Any]) -> tuple[Any, Times]:
        """A batch, and what it took."""
        began = time.perf_counter()
        batch = self._collate(items)
        _WATCH.add(COLLATE, began)
        info = get_worker_info()
        first, count, seconds = _WATCH.taken()
        worker = 0 if info is None else info.id
        return batch, Times(worker, count, first, time.perf_counter(), seconds)


def time_transforms(dataset: Any) -> None:  # noqa: ANN401  # any map-style data set
    """Times a data set's transforms from here on, each by its class's name.

    Args:
        dataset: Has them where torchvision's data sets do; parts of other data sets are followed.
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
    torchvisions = type(transform).__module__.startswith("torchvision.")
    if torchvisions and isinstance(parts, list):  # a Compose, whose parts one wants to know
        transform.transforms = [_timed(part) for part in parts]  # type: ignore[attr-defined]  # it has them
        return transform
    if isinstance(transform, TimedTransform):
        return transform
    name = getattr(transform, "__name__", None) or type(transform).__name__
    return TimedTransform(transform, name)


def watch(loader: DataLoader[Any]) -> tuple[WorkerFacts, ...]:
    """Lets a loader load, and says what each worker spent its time on.

    Args:
        loader: Endless; made of timed parts.
    """
    workers = max(1, loader.num_workers)
    batches = iter(loader)
    next(batches)  # its start is something else
    found: list[Times] = []
    began = time.perf_counter()
    while True:
        found += [times for _, times in (next(batches) for _ in range(workers))]
        elapsed_s = time.perf_counter() - began
        enough = elapsed_s >= LEAST_S and len(found) >= LEAST_BATCHES * workers
        if enough or elapsed_s >= MOST_S:
            return tuple(_summed(found))


def _summed(found: list[Times]) -> Iterator[WorkerFacts]:
    for number in sorted({times.worker for times in found}):
        mine = [times for times in found if times.worker == number]
        elapsed_s = mine[-1].ended - mine[0].began
        seconds: dict[str, float] = {}
        for times in mine:
            for name, took_s in times.seconds.items():
                seconds[name] = seconds.get(name, 0.0) + took_s
        item_s, collate_s = seconds.pop(_ITEM, 0.0), seconds.pop(COLLATE, 0.0)
        parts = {READ: item_s - sum(seconds.values()), **seconds, COLLATE: collate_s}
        parts[HAND_OVER] = elapsed_s - sum(parts.values())
        yield WorkerFacts(
            worker=number,
            batches=len(mine),
            samples=sum(times.items for times in mine),
            elapsed_s=elapsed_s,
            seconds=parts,
        )
