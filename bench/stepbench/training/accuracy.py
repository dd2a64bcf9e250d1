"""The metric of a model over its workload's test data."""

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
"""Of a stream of test data, which may have no end, so many samples are tested on."""


def accuracy(built: Built, most: int | None = None) -> tuple[float, int]:
    """The metric over the test data per sample, and how many samples these are.

    The model is called without `torch.compile`: what is tested are the weights. It is left in
    evaluation mode.

    Args:
        built: The case, trained.
        most: On how many samples at most; `None` takes all.
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
    """A data set, or so many of its samples, drawn at random and always the same ones.

    Of a stream it is the first ones, `MOST_STREAMED` at most.
    """
    if isinstance(dataset, IterableDataset):
        return list(islice(dataset, MOST_STREAMED if most is None else most))
    length = len(dataset)
    if most is None or length <= most:
        return dataset
    order = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    return Subset(dataset, order[:most].tolist())
