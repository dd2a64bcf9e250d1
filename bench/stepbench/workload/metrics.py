"""Metrics that evaluation adds up."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def right_answers(scores: "Tensor", targets: "Tensor") -> "Tensor":
    """Counts the samples of a batch that are classified right, as the lesson does.

    Args:
        scores: (N, classes), or (N, classes, ...) with a class for each of a sample's places.
        targets: Class numbers, (N,) or (N, ...).

    Returns:
        The number; where a sample has many places, the sum of each sample's share of them.
    """
    right = scores.argmax(1) == targets
    return right.sum() if right.dim() == 1 else right.flatten(1).float().mean(1).sum()
