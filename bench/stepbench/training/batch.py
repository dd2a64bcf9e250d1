"""Finds, changes and cuts the tensors of a batch, in whatever containers it holds them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves


def cut(batch: Any, batch_size: int, size: int) -> Any:  # noqa: ANN401  # a batch is anything
    """Returns a batch's first samples; `None` if no tensor's first dimension is `batch_size`.

    Args:
        batch: Tensors, and tensors in mappings and sequences.
        batch_size: The number of samples in the batch.
        size: The number of samples to keep.
    """
    found = _cut(batch, batch_size, size)
    return found.batch if found.parts else None


@dataclass(frozen=True)
class _Cut:
    batch: Any
    parts: int


def _cut(batch: Any, batch_size: int, size: int) -> _Cut:  # noqa: ANN401
    if isinstance(batch, Tensor):
        if batch.dim() and batch.size(0) == batch_size:
            return _Cut(batch[:size], 1)
        return _Cut(batch, 0)
    if isinstance(batch, Mapping):
        cuts = {key: _cut(value, batch_size, size) for key, value in batch.items()}
        parts = sum(part.parts for part in cuts.values())
        return _Cut({key: part.batch for key, part in cuts.items()}, parts)
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        each = [_cut(value, batch_size, size) for value in batch]
        kept = [part.batch for part in each]
        same = tuple(kept) if isinstance(batch, tuple) else kept
        return _Cut(same, sum(part.parts for part in each))
    return _Cut(batch, 0)


def tensors(batch: Any) -> list[Tensor]:  # noqa: ANN401  # a batch is anything
    """Lists the tensors in a batch."""
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]


def each_tensor(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401  # any batch
    """Applies `change` to each tensor of a batch, also in mappings and sequences."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: each_tensor(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple):
        values = [each_tensor(value, change) for value in batch]
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return [each_tensor(value, change) for value in batch]
    return batch
