"""The lesson's network with control flow: the number of layers depends on the input.

Autograd records the operations as they run, so a Python loop in `forward` trains like any other
code. `torch.compile` needs the graph beforehand: reading a number out of a tensor is a graph break,
and another depth is a recompilation. Look in the report for both, with their places in the code,
and at whether compiling still pays off.
"""

import torch
from torch import Tensor, nn
from torch.optim import SGD

from stepbench import DataChoice, Workload, right_answers

MAX_DEPTH = 4


class Dynamic(nn.Module):
    """Images (N, 3, S, S) to scores (N, classes), through 1 to `MAX_DEPTH` middle layers.

    The index of the largest value in the first image determines the depth. The depth is in effect
    random, but the same whenever the batch is the same.

    Args:
        pixels: The number of values in an image, 3 * S * S.
        classes: The number of classes.
        width: The number of units in each hidden layer.
    """

    def __init__(self, pixels: int, classes: int, width: int = 256) -> None:
        super().__init__()
        self.first = nn.Linear(pixels, width)
        self.middle = nn.ModuleList(nn.Linear(width, width) for _ in range(MAX_DEPTH))
        self.last = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of a batch of images."""
        depth = 1 + int(x[0].argmax().item()) % MAX_DEPTH
        x = torch.relu(self.first(x.flatten(1)))
        for number in range(depth):
            x = torch.relu(self.middle[number](x))
        scores: Tensor = self.last(x)
        return scores


def make(choice: DataChoice) -> Workload:
    """Makes the workload from the chosen images."""
    data = choice.source()
    return Workload(
        model=lambda: Dynamic(3 * data.image_size**2, len(data.classes)),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=lambda parameters: SGD(parameters, lr=0.01, momentum=0.9),
        data=data,
    )
