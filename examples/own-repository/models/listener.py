"""A model that takes its batch by name and computes its loss itself, as many libraries' do."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional


@dataclass
class Heard:
    """What the model comes to.

    Attributes:
        loss: The loss, a scalar.
        scores: (N, classes).
    """

    loss: Tensor
    scores: Tensor


class Listener(nn.Module):
    """Signals (N, T) to classes.

    Args:
        classes: How many there are.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.hear = nn.Sequential(
            nn.Conv1d(1, 16, 9, stride=4), nn.ReLU(), nn.Conv1d(16, 32, 9, stride=4), nn.ReLU()
        )
        self.tell = nn.Linear(32, classes)

    def forward(self, signal: Tensor, label: Tensor) -> Heard:
        """The scores, and the loss against the labels (N,)."""
        scores = self.tell(self.hear(signal.unsqueeze(1)).mean(2))
        return Heard(functional.cross_entropy(scores, label), scores)
