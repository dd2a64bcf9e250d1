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

TEST_BATCH = 250
MOST_STREAMED = 10_000
"""The default number of samples to test of a stream, which may have no end."""


def accuracy(built: Built, most: int | None = None) -> tuple[float, int]:
    """Returns the metric per sample of the test data, and the number of samples.

    The model is called without `torch.compile`, because the test is of the weights. The model is
    left in evaluation mode.

    Args:
        built: The case, trained.
        most: The most samples to test; `None` takes all.
    """
    workload = built.workload
    if workload.test_dataset is None:
        raise RuntimeError("a workload without test data cannot be tested")
    data = some_of(workload.test_dataset(), most)
    loader = DataLoader(data, batch_size=TEST_BATCH, collate_fn=workload.collate)
    built.model.eval()
    stream: Iterator[Any] = iter(loader)
    training = replace(built.training, model=built.model)
    right: Tensor = loop.evaluate(training, stream, len(loader))
    return float(right) / len(data), len(data)


def some_of(dataset: Any, most: int | None) -> Any:  # noqa: ANN401  # any data set
    """Returns a data set, or `most` of its samples: random ones, but the same in each call.

    For a stream, returns the first `most` samples, or `MOST_STREAMED` if `most` is `None`.
    """
    if isinstance(dataset, IterableDataset):
        return list(islice(dataset, MOST_STREAMED if most is None else most))
    length = len(dataset)
    if most is None or length <= most:
        return dataset
    order = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    return Subset(dataset, order[:most].tolist())
