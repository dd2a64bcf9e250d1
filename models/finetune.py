"""Fine-tuning: a residual network that trains only its last layer.

All other layers have `requires_grad=False`, so autograd saves none of their activations and the
backward pass covers one linear layer. Compare this workload with `resnet18`: the forward pass costs
the same, backward and optimizer cost next to nothing, and the saved activations are gone. The
weights are random, as pretrained ones need a download and do not change the cost of a step.
"""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import SGD
from torchvision import models as zoo

from stepbench import DataChoice, Workload, right_answers


class Frozen(nn.Module):
    """Images (N, 3, S, S) to scores (N, classes).

    Args:
        classes: The number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = zoo.resnet18(weights=None)
        self.features.fc = nn.Identity()
        self.features.requires_grad_(requires_grad=False)
        self.scores = nn.Linear(512, classes)

    def train(self, mode: bool = True) -> "Frozen":
        """Sets the mode; frozen layers stay in evaluation mode and keep running statistics."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Computes the scores of a batch of images."""
        scores: Tensor = self.scores(self.features(x))
        return scores


def sgd(parameters: Iterable[nn.Parameter]) -> SGD:
    """Makes an optimizer of the parameters that require gradients."""
    return SGD([p for p in parameters if p.requires_grad], lr=0.01, momentum=0.9)


def make(choice: DataChoice) -> Workload:
    """Makes the workload from the chosen images."""
    data = choice.source()
    return Workload(
        model=lambda: Frozen(len(data.classes)),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=sgd,
        data=data,
    )
