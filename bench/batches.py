"""Batches without end: the user's `DataLoader`, kept in its steady state.

An epoch's end stops the loader's workers, drains what they have prepared and starts them anew.
That would fall upon whichever lap comes next, so the sampler goes on from one shuffle to the next
and the cost of a start is measured by itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from bench.case import Case
from bench.errors import UsageError
from bench.workload import Workload


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


def length_of(dataset: Dataset[Any], spec: str) -> int:
    """How many items a data set has.

    Raises:
        UsageError: None, or it cannot tell.
    """
    try:
        length = len(dataset)  # type: ignore[arg-type]  # that is what is being found out
    except TypeError:
        raise UsageError(
            f"--workload {spec}: its data set, a {type(dataset).__name__}, has no length; "
            f"give it a __len__"
        ) from None
    if length == 0:
        raise UsageError(
            f"--workload {spec}: its data set, a {type(dataset).__name__}, has no items; "
            f"is its path right?"
        )
    return length


def refuse_large_batch(case: Case, length: int) -> None:
    """Raises a `UsageError` where the data set cannot fill one batch."""
    if case.batch_size > length:
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
    """The case's `DataLoader`, shuffling without end.

    Args:
        workload: What is trained.
        dataset: Its data.
        case: How they are loaded.
        seed: Of the order, and of loader workers.
        collate: Makes a batch in the place of the workload's own way.
    """
    sampler = EndlessShuffle(length_of(dataset, case.workload), case.batch_size, seed)
    return DataLoader(
        dataset,
        batch_sampler=BatchSampler(sampler, case.batch_size, drop_last=True),
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
