"""The lesson's network with control flow: how deep it is depends on what it is given.

Autograd records whatever was done, so that a loop of Python in `forward` trains like anything
else. `torch.compile` must know beforehand: here it stops where a number has to leave a tensor (a
graph break) and compiles again for another depth (a recompilation). Look for both in the report,
with their places, and at whether compiling still pays.
"""

import torch
from torch import Tensor, nn
from torch.optim import SGD

from stepbench import DataChoice, Workload, right_answers

MOST = 4


class Dynamic(nn.Module):
    """Images (N, 3, S, S) to the scores (N, classes), through one to `MOST` middle layers.

    Which depth it is follows from the first image alone: from where its brightest number lies. That
    is as good as chance, and the same each time the same batch is seen.

    Args:
        pixels: How many numbers an image has.
        classes: How many classes there are.
        width: How many units each layer has.
    """

    def __init__(self, pixels: int, classes: int, width: int = 256) -> None:
        super().__init__()
        self.first = nn.Linear(pixels, width)
        self.middle = nn.ModuleList(nn.Linear(width, width) for _ in range(MOST))
        self.last = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The scores of a batch of images."""
        depth = 1 + int(x[0].argmax().item()) % MOST
        x = torch.relu(self.first(x.flatten(1)))
        for number in range(depth):
            x = torch.relu(self.middle[number](x))
        scores: Tensor = self.last(x)
        return scores


def make(choice: DataChoice) -> Workload:
    """The network on the images that were chosen."""
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
