"""The workload that stepbench measures: `stepbench run --matrix small`."""

from typing import Any

import torch
from signals import CLASSES, Tones
from torch import Tensor

from models import Listener
from stepbench import Workload


def split(batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """Passes the whole batch to the model by name, and the labels to the metric."""
    return batch, batch["label"]


def count_correct(output: Any, labels: Tensor) -> Tensor:
    """Counts the correctly classified signals."""
    return (output.scores.argmax(1) == labels).sum()


def make() -> Workload:
    """Makes the workload."""
    return Workload(
        model=lambda: Listener(CLASSES),
        dataset=lambda: Tones(2048, seed=1),
        test_dataset=lambda: Tones(512, seed=2),
        split=split,
        loss=lambda output, _: output.loss,
        metric=count_correct,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
    )
