"""Fine-tuning: a residual network of which only the last layer is trained.

Everything else has `requires_grad=False`, so autograd keeps nothing of it and goes back through
one linear layer only. Compare it with `resnet18`: the forward pass costs the same, backward and
optimizer next to nothing, and the saved activations are gone. The weights are not pretrained
ones, which would have to be fetched: what a step costs does not depend on them.
"""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import SGD
from torchvision import models as zoo

from stepbench import DataChoice, Workload, right_answers


class Frozen(nn.Module):
    """Images (N, 3, S, S) to the scores (N, classes).

    Args:
        classes: How many classes there are.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = zoo.resnet18(weights=None)
        self.features.fc = nn.Identity()
        self.features.requires_grad_(requires_grad=False)
        self.scores = nn.Linear(512, classes)

    def train(self, mode: bool = True) -> "Frozen":
        """Frozen layers keep their running means too, as they were trained with."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The scores of a batch of images."""
        scores: Tensor = self.scores(self.features(x))
        return scores


def trained(parameters: Iterable[nn.Parameter]) -> SGD:
    """An optimizer of those parameters that are trained."""
    return SGD([p for p in parameters if p.requires_grad], lr=0.01, momentum=0.9)


def make(choice: DataChoice) -> Workload:
    """The network on the images that were chosen."""
    data = choice.source()
    return Workload(
        model=lambda: Frozen(len(data.classes)),
        dataset=data.train,
        test_dataset=data.test,
        loss=nn.CrossEntropyLoss(),
        metric=right_answers,
        optimizer=trained,
        data=data,
    )
