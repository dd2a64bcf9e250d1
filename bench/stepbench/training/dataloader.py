"""Batches without end from the workload's `DataLoader`, kept in its steady state.

The end of an epoch stops the loader's workers, drains the batches that they have prepared and
restarts them. The next lap, whichever it is, would take the time for that. So the sampler continues
from one shuffle to the next, and the cost of a start is measured separately.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Sampler

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.training.batch_function import BatchFunction, refuse_workers
from stepbench.workload.workload import Workload

MAX_ITEMS = 2**32
"""The largest number of items that are shuffled."""


class EndlessShuffle(Sampler[int]):
    """Samples indices in random order without end, one permutation after another.

    Each permutation is cut to whole batches, as `drop_last` does. So no batch spans two epochs and
    no batch is short; a short batch would also cause a recompilation.

    Args:
        length: The number of items in the data set.
        batch_size: The length of a cut permutation is a multiple of this.
        seed: The seed of the permutations.
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self._length = length
        self._used_length = length - length % batch_size
        self._seed = seed

    def __iter__(self) -> Iterator[int]:
        """Yields indices without end, the same ones in each iteration."""
        generator = torch.Generator().manual_seed(self._seed)
        while True:
            order = torch.randperm(self._length, generator=generator).tolist()
            yield from order[: self._used_length]


class DatasetProxy:
    """Wraps a data set, and passes access to attributes on to the data set.

    A `worker_init_fn` that splits a stream among workers reads and sets the data set's attributes
    on `get_worker_info().dataset`.

    Args:
        dataset: Any data set.
    """

    def __init__(self, dataset: Any) -> None:  # noqa: ANN401
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the data set has
        """Gets the data set's attribute."""
        if name.startswith("_"):  # also while a worker unpickles the proxy, without `_dataset`
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401  # any value
        """Sets the data set's attribute."""
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            setattr(self._dataset, name, value)


class EndlessStream(DatasetProxy, IterableDataset[Any]):
    """Repeats a stream without end.

    So all batches are whole, and a batch may span two epochs. In a loader worker, the stream is the
    worker's part, if the data set splits its items among workers.

    Args:
        dataset: The stream; it must start again at each iteration.
    """

    def __iter__(self) -> Iterator[Any]:
        """Yields items without end, or none if the stream has none for this worker.

        Raises:
            UsageError: The stream yields its items in the first iteration only.
        """
        for epoch in count():
            has_items = False
            for item in self._dataset:
                has_items = True
                yield item
            if not has_items and epoch:
                raise UsageError(
                    f"Workload: the stream ({type(self._dataset).__name__}) yields no items in the "
                    f"second iteration; let __iter__, or the function batches=, return a new "
                    f"iterator each time"
                )
            if not has_items:
                return


def training_data(workload: Workload, case: Case) -> Dataset[Any]:
    """Makes the training data of a case: the workload's data set, or its batches as a stream.

    Raises:
        UnsupportedError: The workload makes batches itself, and the case has loader workers.
    """
    if workload.batches is not None:
        refuse_workers(case)
        return BatchFunction(workload.batches, case.batch_size)
    if workload.dataset is None:  # pragma: no cover  # `Workload` refuses it
        raise RuntimeError("the workload has no data")
    return workload.dataset()


def length_of(dataset: Dataset[Any], spec: str) -> int | None:
    """Counts the items of a data set; `None` for a stream, an `IterableDataset`.

    Raises:
        UsageError: It is no data set, or it has no items, no length or an impossible length.
    """
    if isinstance(dataset, IterableDataset):
        return None
    _refuse_other_type(dataset, spec)
    name = f"--workload {spec}: the dataset ({type(dataset).__name__})"
    if not hasattr(dataset, "__len__"):
        raise UsageError(f"{name} has no length; define __len__, or use an IterableDataset")
    try:
        length = len(dataset)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{name} has no usable length ({error}); have __len__ return the number of items"
        ) from None
    if length == 0:
        raise UsageError(f"{name} has no items; check its path")
    if length > MAX_ITEMS:
        raise UsageError(
            f"{name} has {length:,} items, and shuffling holds a number for each in memory; have "
            f"__len__ return {MAX_ITEMS:,} or less, or use an IterableDataset"
        )
    return length


def _refuse_other_type(dataset: object, spec: str) -> None:
    """Raises `UsageError` for an object that is no map-style data set."""
    if isinstance(dataset, type):
        fault, remedy = f"the class {dataset.__name__}", f"return {dataset.__name__}(...)"
    elif isinstance(dataset, DataLoader):
        fault, remedy = "a DataLoader", "return the data set that it loads"
    elif not hasattr(dataset, "__getitem__"):
        fault = "None" if dataset is None else f"of type {type(dataset).__name__}"
        remedy = "return an object with __len__ and __getitem__, or an IterableDataset"
    else:
        return
    raise UsageError(f"--workload {spec}: the dataset is {fault}; {remedy}")


def check_loader_options(case: Case, workload: Workload, length: int | None) -> None:
    """Refuses a case that does not fit its workload.

    Raises:
        UsageError: The data set, of `length` items, cannot fill one batch; the case accumulates
            gradients but the workload defines the step; or evaluation has neither metric nor loss.
    """
    if not case.trains and workload.loss is None and workload.metric is None:
        raise UsageError(
            f"--loop {case.loop}: --workload {case.workload} has neither a loss nor a metric to "
            f"evaluate; pass Workload(metric=...), or use --loop train"
        )
    if case.accumulate > 1 and workload.step is not None:
        raise UsageError(
            f"--accumulate {case.accumulate}: --workload {case.workload} defines step=, which "
            f"decides when an optimizer steps; omit --accumulate"
        )
    if length is not None and case.batch_size > length:
        raise UsageError(
            f"--batch-size {case.batch_size}: the dataset of --workload {case.workload} has "
            f"{length} items; use {length} or less"
        )


def check_loader_arguments(workload: Workload, dataset: Dataset[Any], case: Case) -> None:
    """Refuses arguments of `Workload(loader=...)` that a `DataLoader` refuses.

    Raises:
        UsageError: The `DataLoader` cannot be made.
    """
    if not workload.loader:
        return
    try:
        make_loader(workload, dataset, case, seed=0)
    except (TypeError, ValueError, AssertionError) as error:
        raise UsageError(
            f"--workload {case.workload}: Workload(loader=...) with --num-workers "
            f"{case.num_workers}: the DataLoader refuses it ({error}); correct its arguments"
        ) from None


def make_loader(
    workload: Workload,
    dataset: Dataset[Any],
    case: Case,
    seed: int,
    collate: Callable[[list[Any]], Any] | None = None,
) -> DataLoader[Any]:
    """Makes the case's endless `DataLoader`: shuffled, or a stream in the order of its items.

    Args:
        workload: The workload.
        dataset: The workload's data.
        case: The case, with the options of the loader.
        seed: The seed of the order, and of the loader workers.
        collate: Makes a batch of items; replaces the workload's `collate`.
    """
    sampling: dict[str, Any]
    collate = collate or workload.collate
    if workload.batches is not None:
        sampling = {"dataset": EndlessStream(dataset), "batch_size": None}
        collate = _unchanged
    elif isinstance(dataset, IterableDataset):
        sampling = {"dataset": EndlessStream(dataset), "batch_size": case.batch_size}
    else:
        length = len(dataset)  # type: ignore[arg-type]  # `length_of` checked it
        sampler = EndlessShuffle(length, case.batch_size, seed)
        batch_sampler = BatchSampler(sampler, case.batch_size, drop_last=True)
        sampling = {"dataset": dataset, "batch_sampler": batch_sampler}
    return DataLoader(
        **sampling,
        num_workers=case.num_workers,
        prefetch_factor=case.prefetch_factor if case.num_workers else None,
        persistent_workers=case.persistent_workers,
        pin_memory=case.pin_memory,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(seed),  # the workers' seeds are drawn from it
        **{name: value for name, value in workload.loader.items() if _applies(name, case)},
    )


def _unchanged(batch: Any) -> Any:  # noqa: ANN401  # a batch is anything
    return batch


_WORKER_ARGUMENTS = {"timeout", "multiprocessing_context", "worker_init_fn"}
"""The arguments that a `DataLoader` without workers refuses or ignores."""


def _applies(argument: str, case: Case) -> bool:
    return case.num_workers > 0 or argument not in _WORKER_ARGUMENTS
