"""Computes the metric of a model over its workload's test data."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from stepbench.training import loop
from stepbench.training.batch_function import BatchFunction
from stepbench.training.build import Built
from stepbench.training.dataloader import EndlessStream
from stepbench.training.phases import no_end
from stepbench.workload.workload import Workload

TEST_BATCH_SIZE = 250
MAX_STREAMED = 10_000
"""The default number of samples to test of a stream, which may have no end."""


def accuracy(
    built: Built, max_samples: int | None = None, end_step: Callable[[], None] = no_end
) -> tuple[float, int]:
    """Returns the metric per sample of the test data, and the number of samples.

    The model is called without `torch.compile`, because the test is of the weights. The model is
    left in evaluation mode.

    Args:
        built: The case, trained.
        max_samples: The maximum number of samples to test; `None` takes all.
        end_step: Called after each batch.
    """
    tests = held_out_batches(built.workload, TEST_BATCH_SIZE, max_samples)
    built.model.eval()
    training = replace(built.training, model=built.model)
    metric_sum: Tensor = loop.evaluate(training, tests.batches, tests.count, end_step=end_step)
    return float(metric_sum) / tests.samples, tests.samples


@dataclass(frozen=True)
class HeldOutBatches:
    """Batches of a workload's test data.

    Attributes:
        batches: The batches.
        count: The number of batches to take.
        samples: The number of samples in these batches.
    """

    batches: Iterator[Any]
    count: int
    samples: int


def held_out_batches(
    workload: Workload, batch_size: int, max_samples: int | None = None
) -> HeldOutBatches:
    """Makes batches of a workload's test data.

    Args:
        workload: The workload, which has test data.
        batch_size: The number of samples in a batch.
        max_samples: The maximum number of samples; `None` takes all of a data set, and
            `MAX_STREAMED` of a stream or of `test_batches`.
    """
    if workload.test_batches is not None:
        count = max(1, (MAX_STREAMED if max_samples is None else max_samples) // batch_size)
        stream = EndlessStream(BatchFunction(workload.test_batches, batch_size, "test_batches"))
        return HeldOutBatches(iter(stream), count, count * batch_size)
    if workload.test_dataset is None:
        raise RuntimeError("the workload has no test data")
    data = limit_samples(workload.test_dataset(), max_samples)
    loader = DataLoader(data, batch_size=batch_size, collate_fn=workload.collate)
    return HeldOutBatches(iter(loader), len(loader), len(data))


def limit_samples(dataset: Any, max_samples: int | None) -> Any:  # noqa: ANN401  # any data set
    """Returns a data set, or `max_samples` random samples of it, the same ones in each call.

    For a stream, returns the first `max_samples`, or `MAX_STREAMED` if `max_samples` is `None`.
    """
    if isinstance(dataset, IterableDataset):
        return list(islice(dataset, MAX_STREAMED if max_samples is None else max_samples))
    length = len(dataset)
    if max_samples is None or length <= max_samples:
        return dataset
    order = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    return Subset(dataset, order[:max_samples].tolist())
