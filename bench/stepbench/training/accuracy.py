"""Computes the metric of a model over its workload's test data."""

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from stepbench.training import loop
from stepbench.training.build import Built

if TYPE_CHECKING:
    from collections.abc import Iterator

TEST_BATCH_SIZE = 250
MAX_STREAMED = 10_000
"""The default number of samples to test of a stream, which may have no end."""


def accuracy(built: Built, max_samples: int | None = None) -> tuple[float, int]:
    """Returns the metric per sample of the test data, and the number of samples.

    The model is called without `torch.compile`, because the test is of the weights. The model is
    left in evaluation mode.

    Args:
        built: The case, trained.
        max_samples: The maximum number of samples to test; `None` takes all.
    """
    workload = built.workload
    if workload.test_dataset is None:
        raise RuntimeError("the workload has no test data")
    data = limit_samples(workload.test_dataset(), max_samples)
    loader = DataLoader(data, batch_size=TEST_BATCH_SIZE, collate_fn=workload.collate)
    built.model.eval()
    stream: Iterator[Any] = iter(loader)
    training = replace(built.training, model=built.model)
    metric_sum: Tensor = loop.evaluate(training, stream, len(loader))
    return float(metric_sum) / len(data), len(data)


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
