"""This repository's own test, with its own options."""

import torch
from signals import CLASSES, Tones

from models import Listener


def test_the_loss_is_that_of_a_guess_at_first(device: str) -> None:
    model = Listener(CLASSES).to(device)
    item = Tones(1, seed=1)[0]
    heard = model(item["signal"][None].to(device), item["label"][None].to(device))
    assert torch.isfinite(heard.loss)
    assert heard.scores.shape == (1, CLASSES)
