"""The lesson's network: two convolutions and three linear layers on CIFAR-10.

Everything is as in "Torch basics": the layers, `CrossEntropyLoss`, and SGD with a learning rate of
0.001 and a momentum of 0.9. The model is tiny, so at the lesson's batch size of 4 a step is mostly
fixed cost. Look at how little longer a step takes at batch size 32 than at 4, and at whether
two loader workers save more time than passing batches between processes costs.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from stepbench import DataChoice, Workload, right_answers


class ConvNet(nn.Module):
    """Images (N, 3, S, S) to scores (N, classes).

    Args:
        classes: The number of classes.
        image_size: S, the images' width and height in pixels.
    """

    def __init__(self, classes: int = 10, image_size: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        side = ((image_size - 4) // 2 - 4) // 2
        self.fc1 = nn.Linear(16 * side * side, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of a batch of images."""
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = torch.relu(self.fc1(x))
        x = torch.relu(self.fc2(x))
        scores: Tensor = self.fc3(x)
        return scores


def sgd(parameters: Iterable[nn.Parameter]) -> torch.optim.SGD:
    """Makes the lesson's optimizer."""
    return torch.optim.SGD(parameters, lr=0.001, momentum=0.9)


def make(choice: DataChoice) -> Workload:
    """Makes the lesson's workload from the chosen data."""
    data = choice.source()
    return Workload(
        model=lambda: ConvNet(len(data.classes), data.image_size),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=sgd,
        data=data,
    )
