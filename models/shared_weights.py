"""Shared weights: one convolution, applied several times.

The layer is in the `state_dict` once and is applied `TIMES` times, so the layer's gradient is the
sum over all uses: gradients accumulate within a step as they do over several batches. Compare this
workload with `models.shared_weights:separate`, a network with `TIMES` separate layers: the
operations and activations are the same, but the parameters are several times as many, so forward
and backward cost the same and the optimizer costs more.
"""

import torch
from torch import Tensor, nn
from torch.optim import SGD

from stepbench import DataChoice, Workload, right_answers

TIMES = 6


class Shared(nn.Module):
    """Images (N, 3, S, S) to scores (N, classes).

    Args:
        classes: The number of classes.
        layers: The number of convolutions that take turns in the middle; 1 shares one layer.
        channels: The number of channels of the convolutions.
    """

    def __init__(self, classes: int, layers: int = 1, channels: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 4, stride=2, padding=1)
        self.middle = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(layers)
        )
        self.last = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of a batch of images."""
        x = torch.relu(self.first(x))
        for number in range(TIMES):
            x = x + torch.relu(self.middle[number % len(self.middle)](x)) / TIMES
        scores: Tensor = self.last(x.mean((2, 3)))
        return scores


def separate(choice: DataChoice) -> Workload:
    """Makes the workload with `TIMES` separate layers, for comparison."""
    return make(choice, TIMES)


def make(choice: DataChoice, layers: int = 1) -> Workload:
    """Makes the workload from the chosen images."""
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
