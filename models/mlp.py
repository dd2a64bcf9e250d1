"""A multilayer perceptron: the network that knows nothing of pictures but their pixels.

All its work is in three matrix products, so its forward pass is a handful of operators. Look at
how close the step comes to the roofline as the batch grows, and at the optimizer: with more
parameters than operations per sample, its share is large at small batches and vanishes at large
ones.
"""

from torch import Tensor, nn
from torch.optim import SGD

from stepbench import DataChoice, Workload, right_answers


class Perceptron(nn.Module):
    """Images (N, 3, S, S) to the scores (N, classes).

    Args:
        pixels: How many numbers an image has.
        classes: How many classes there are.
        hidden: How many units each of the two hidden layers has.
    """

    def __init__(self, pixels: int, classes: int, hidden: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The scores of a batch of images."""
        scores: Tensor = self.layers(x)
        return scores


def make(choice: DataChoice) -> Workload:
    """The perceptron on the images that were chosen."""
    data = choice.source()
    return Workload(
        model=lambda: Perceptron(3 * data.image_size**2, len(data.classes)),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=lambda parameters: SGD(parameters, lr=0.01, momentum=0.9),
        data=data,
    )
