"""A model that takes its inputs by name and computes the loss, as in many libraries."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass
class Output:
    """The output of the model.

    Attributes:
        loss: The loss, a scalar.
        scores: The class scores, (N, classes).
    """

    loss: Tensor
    scores: Tensor


class Listener(nn.Module):
    """Classifies signals (N, T).

    Args:
        classes: The number of classes.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, 16, 9, stride=4), nn.ReLU(), nn.Conv1d(16, 32, 9, stride=4), nn.ReLU()
        )
        self.scores = nn.Linear(32, classes)

    def forward(self, signal: Tensor, label: Tensor) -> Output:
        """Computes the scores, and the loss for the labels (N,)."""
        scores = self.scores(self.features(signal.unsqueeze(1)).mean(2))
        return Output(functional.cross_entropy(scores, label), scores)
