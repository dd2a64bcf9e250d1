"""What stepbench is to measure of this repository: `stepbench run --matrix small`."""

from typing import Any

import torch
from signals import CLASSES, Tones
from torch import Tensor

from models import Listener
from stepbench import Workload


def split(batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """The model takes the whole batch by name; the labels are for the metric."""
    return batch, batch["label"]


def right(heard: Any, labels: Tensor) -> Tensor:
    """How many are told right."""
    return (heard.scores.argmax(1) == labels).sum()


def make() -> Workload:
    """The training step of this repository."""
    return Workload(
        model=lambda: Listener(CLASSES),
        dataset=lambda: Tones(2048, seed=1),
        test_dataset=lambda: Tones(512, seed=2),
        split=split,
        loss=lambda heard, _: heard.loss,
        metric=right,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
    )
