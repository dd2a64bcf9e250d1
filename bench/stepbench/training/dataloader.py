"""Batches without end: the user's `DataLoader`, kept in its steady state.

An epoch's end stops the loader's workers, drains what they have prepared and starts them anew.
That would fall upon whichever lap comes next, so the sampler goes on from one shuffle to the next
and the cost of a start is measured by itself.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Sampler

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.workload.workload import Workload


class EndlessShuffle(Sampler[int]):
    """Indices in random order, one permutation after the other.

    Each permutation is cut to whole batches, as `drop_last` does, so that no batch is short (a
    short one would also be compiled anew) and none spans two epochs.

    Args:
        length: How many items the data set has.
        batch_size: What the permutation is cut to a multiple of.
        seed: Of the permutations.
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self._length = length
        self._kept = length - length % batch_size
        self._seed = seed

    def __iter__(self) -> Iterator[int]:
        """Indices, without end; the same ones each time."""
        generator = torch.Generator().manual_seed(self._seed)
        while True:
            yield from torch.randperm(self._length, generator=generator).tolist()[: self._kept]


class DatasetProxy:
    """Stands around a data set, and lets its attributes through.

    A `worker_init_fn` that shares a stream out reads and sets them on `get_worker_info().dataset`.

    Args:
        dataset: Any data set.
    """

    def __init__(self, dataset: Any) -> None:  # noqa: ANN401
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the data set has
        """Gets the data set's attribute."""
        if name.startswith("_"):  # also while it is made anew in a worker
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401  # likewise
        """Sets it on the data set."""
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            setattr(self._dataset, name, value)


class EndlessStream(DatasetProxy, IterableDataset[Any]):
    """A stream's items, begun again whenever they have ended.

    So batches are whole ones, and one may span two epochs. In a loader worker it is the worker's
    part of the stream, if the data set shares it out.

    Args:
        dataset: Gives its items anew each time it is gone through.
    """

    def __iter__(self) -> Iterator[Any]:
        """Items, without end; none where the stream has none for this worker.

        Raises:
            UsageError: The stream gives its items once only.
        """
        for epoch in count():
            given = False
            for item in self._dataset:
                given = True
                yield item
            if not given and epoch:
                raise UsageError(
                    f"Workload(dataset=...): its stream, a {type(self._dataset).__name__}, gave "
                    f"nothing when it was gone through again; have its __iter__ begin anew"
                )
            if not given:
                return


def length_of(dataset: Dataset[Any], spec: str) -> int | None:
    """Counts the items of a data set; `None` for a stream, an `IterableDataset`.

    Raises:
        UsageError: None, or it cannot tell.
    """
    if isinstance(dataset, IterableDataset):
        return None
    try:
        length = len(dataset)  # type: ignore[arg-type]  # that is what is being found out
    except TypeError:
        raise UsageError(
            f"--workload {spec}: its data set, a {type(dataset).__name__}, has no length; "
            f"give it a __len__, or have it be an IterableDataset"
        ) from None
    if length == 0:
        raise UsageError(
            f"--workload {spec}: its data set, a {type(dataset).__name__}, has no items; "
            f"is its path right?"
        )
    return length


def refuse_unfit(case: Case, workload: Workload, length: int | None) -> None:
    """Refuses a case that cannot go with its workload.

    Raises:
        UsageError: The data set, so many items, cannot fill one batch; batches are to be
            accumulated in a step that is the workload's own; or there is nothing to evaluate by.
    """
    if not case.trains and workload.loss is None and workload.metric is None:
        raise UsageError(
            f"--loop {case.loop}: --workload {case.workload} has neither a loss nor a metric, one "
            f"of which evaluation adds up; give Workload(metric=...), or --loop train"
        )
    if case.accumulate > 1 and workload.step is not None:
        raise UsageError(
            f"--accumulate {case.accumulate}: --workload {case.workload} has a step of its own, "
            f"which says itself when an optimizer steps; leave the option out"
        )
    if length is not None and case.batch_size > length:
        raise UsageError(
            f"--batch-size {case.batch_size}: the data set of --workload {case.workload} has "
            f"{length} items; give {length} or less"
        )


def make_loader(
    workload: Workload,
    dataset: Dataset[Any],
    case: Case,
    seed: int,
    collate: Callable[[list[Any]], Any] | None = None,
) -> DataLoader[Any]:
    """The case's `DataLoader`, without end: shuffling, or a stream in its own order.

    Args:
        workload: What is trained.
        dataset: Its data.
        case: How they are loaded.
        seed: Of the order, and of loader workers.
        collate: Makes a batch in the place of the workload's own way.
    """
    order: dict[str, Any]
    if isinstance(dataset, IterableDataset):
        order = {"dataset": EndlessStream(dataset), "batch_size": case.batch_size}
    else:
        length = len(dataset)  # type: ignore[arg-type]  # it was found to have one
        sampler = EndlessShuffle(length, case.batch_size, seed)
        batch_sampler = BatchSampler(sampler, case.batch_size, drop_last=True)
        order = {"dataset": dataset, "batch_sampler": batch_sampler}
    return DataLoader(
        **order,
        num_workers=case.num_workers,
        prefetch_factor=case.prefetch_factor if case.num_workers else None,
        persistent_workers=case.persistent_workers,
        pin_memory=case.pin_memory,
        collate_fn=collate or workload.collate,
        generator=torch.Generator().manual_seed(seed),  # of which the workers' seeds are drawn
        **{name: value for name, value in workload.loader.items() if _applies(name, case)},
    )


_OF_WORKERS = {"timeout", "multiprocessing_context", "worker_init_fn"}
"""Arguments of a `DataLoader` that it refuses, or ignores, where it has no workers."""


def _applies(argument: str, case: Case) -> bool:
    return case.num_workers > 0 or argument not in _OF_WORKERS
