"""A multilayer perceptron: a network that ignores the images' spatial structure.

Nearly all work is in three matrix products, so the forward pass is a handful of operators. Look at
how close the step comes to the roofline as the batch grows, and at the optimizer: a sample uses
each parameter only once, so the optimizer's share is large at small batch sizes and vanishes at
large ones.
"""

from torch import Tensor, nn
from torch.optim import SGD

from stepbench import DataChoice, Workload, right_answers


class Perceptron(nn.Module):
    """Images (N, 3, S, S) to scores (N, classes).

    Args:
        pixels: The number of values in an image, 3 * S * S.
        classes: The number of classes.
        hidden: The number of units in each of the two hidden layers.
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
        """Computes the scores of a batch of images."""
        scores: Tensor = self.layers(x)
        return scores


def make(choice: DataChoice) -> Workload:
    """Makes the workload from the chosen images."""
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
