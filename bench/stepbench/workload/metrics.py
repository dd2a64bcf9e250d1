"""Metrics that evaluation sums over batches."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def right_answers(scores: "Tensor", targets: "Tensor") -> "Tensor":
    """Counts the correctly classified samples of a batch, as the lesson does.

    Args:
        scores: The class scores, of shape (N, classes), or (N, classes, ...) if each sample has
            many positions with a class each.
        targets: The class indices, of shape (N,) or (N, ...).

    Returns:
        The number of correct samples, a scalar; if a sample has many positions, the sum over the
        samples of the share of correct positions.
    """
    right = scores.argmax(1) == targets
    return right.sum() if right.dim() == 1 else right.flatten(1).float().mean(1).sum()
