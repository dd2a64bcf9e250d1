"""A test of this repository, which uses an option of its conftest."""

import torch
from signals import CLASSES, Tones

from models import Listener


def test_loss_is_finite(device: str) -> None:
    model = Listener(CLASSES).to(device)
    item = Tones(1, seed=1)[0]
    output = model(item["signal"][None].to(device), item["label"][None].to(device))
    assert torch.isfinite(output.loss)
    assert output.scores.shape == (1, CLASSES)
