"""Batches that a workload makes itself, by a function instead of a data set and a `DataLoader`."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch.utils.data import IterableDataset

from stepbench.config.case import Case
from stepbench.errors import UnsupportedError, UsageError
from stepbench.training.batch import tensors


class BatchFunction(IterableDataset[Any]):
    """A workload's function of batches, as a stream whose items are whole batches.

    Args:
        batches: Takes the batch size; returns an iterable of batches, or a function without
            arguments that returns the next batch.
        batch_size: The number of samples in a batch.
        field: The field of the workload that holds the function, for error messages.
    """

    def __init__(
        self, batches: Callable[[int], Any], batch_size: int, field: str = "batches"
    ) -> None:
        self._batches = batches
        self._batch_size = batch_size
        self._field = field

    def __iter__(self) -> Iterator[Any]:
        """Calls the function, and yields batches until there are no more.

        Raises:
            UsageError: The function returned neither an iterable nor a function.
        """
        batches = self._batches(self._batch_size)
        if isinstance(batches, Iterable):
            return iter(batches)
        if callable(batches):
            return _results(batches)
        raise UsageError(
            f"Workload({self._field}=...): returned {type(batches).__name__}; return an iterator "
            f"of batches, or a function that returns the next batch"
        )

    def check(self, spec: str) -> None:
        """Makes one batch, and checks that it has as many samples as samples/s counts.

        Args:
            spec: The workload, as on the command line.

        Raises:
            UsageError: There is no batch, or no tensor of it has a dimension of the batch size.
        """
        name = f"--workload {spec}: Workload({self._field}=...)"
        for batch in self:
            sizes = [tuple(tensor.shape) for tensor in tensors(batch)]
            if sizes and not any(self._batch_size in size for size in sizes):
                raise UsageError(
                    f"{name}: was called with the batch size {self._batch_size}, and made tensors "
                    f"of shape {', '.join(map(str, sizes))}; make batches of the size it is given"
                )
            return
        raise UsageError(f"{name}: makes no batch; yield batches without end")


def _results(function: Callable[[], Any]) -> Iterator[Any]:
    while True:
        yield function()


def refuse_workers(case: Case) -> None:
    """Refuses a case with loader workers: batches are made in the training process.

    Raises:
        UnsupportedError: The case has loader workers.
    """
    if case.num_workers:
        raise UnsupportedError(
            "num_workers",
            f"--workload {case.workload} makes its batches in the training process "
            f"(Workload(batches=...)), so that there are no loader workers; use --num-workers 0, "
            f"or give Workload(dataset=...)",
        )
