"""Shared weights: one convolution, gone through again and again.

The layer stands once in the `state_dict` and is used `TIMES` times, so its gradient is the sum of
what each use asks for: gradients accumulate, within a step as they do over several batches.
Compare it with `models.shared_weights:apart`, a network of as many layers of their own: the same
operations and activations, and several times the parameters, so that forward and backward cost the
same and the optimizer more.
"""

import torch
from torch import Tensor, nn
from torch.optim import SGD

from stepbench import DataChoice, Workload, right_answers

TIMES = 6


class Shared(nn.Module):
    """Images (N, 3, S, S) to the scores (N, classes).

    Args:
        classes: How many classes there are.
        layers: How many convolutions take turns in the middle; 1 is used every time.
        channels: How many channels these have.
    """

    def __init__(self, classes: int, layers: int = 1, channels: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 4, stride=2, padding=1)
        self.middle = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers)
        )
        self.last = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of a batch of images."""
        x = torch.relu(self.first(x))
        for number in range(TIMES):
            x = x + torch.relu(self.middle[number % len(self.middle)](x)) / TIMES
        scores: Tensor = self.last(x.mean((2, 3)))
        return scores


def apart(choice: DataChoice) -> Workload:
    """The network with a layer of its own for each time, to compare with."""
    return make(choice, TIMES)


def make(choice: DataChoice, layers: int = 1) -> Workload:
    """The network on the images that were chosen."""
    data = choice.source()
    return Workload(
        model=lambda: Shared(len(data.classes), layers),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=lambda parameters: SGD(parameters, lr=0.01, momentum=0.9),
        data=data,
    )
