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
    result = _cut(batch, batch_size, size)
    return result.batch if result.tensors else None


@dataclass(frozen=True)
class _Cut:
    """A cut batch, and the number of tensors that were cut."""

    batch: Any
    tensors: int


def _cut(batch: Any, batch_size: int, size: int) -> _Cut:  # noqa: ANN401
    if isinstance(batch, Tensor):
        if batch.dim() and batch.size(0) == batch_size:
            return _Cut(batch[:size], 1)
        return _Cut(batch, 0)
    if isinstance(batch, Mapping):
        cuts = {key: _cut(value, batch_size, size) for key, value in batch.items()}
        count = sum(value.tensors for value in cuts.values())
        return _Cut({key: value.batch for key, value in cuts.items()}, count)
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        results = [_cut(value, batch_size, size) for value in batch]
        values = [result.batch for result in results]
        sequence = tuple(values) if isinstance(batch, tuple) else values
        return _Cut(sequence, sum(result.tensors for result in results))
    return _Cut(batch, 0)


def tensors(batch: Any) -> list[Tensor]:  # noqa: ANN401  # a batch is anything
    """Lists the tensors in a batch."""
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)]


def map_tensors(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401  # any batch
    """Applies `change` to each tensor of a batch, also in mappings and sequences."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: map_tensors(value, change) for key, value in batch.items()}
    if isinstance(batch, tuple):
        values = [map_tensors(value, change) for value in batch]
        return type(batch)(*values) if hasattr(batch, "_fields") else tuple(values)
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return [map_tensors(value, change) for value in batch]
    return batch
