"""How a batch comes to lie where it is computed with, whatever it is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """How a batch comes to lie where it is computed with.

    Attributes:
        device: Where that is.
        non_blocking: Whether the host goes on while a batch is on its way.
        channels_last: Whether images, tensors (N, C, H, W), are laid out with the channels last.
    """

    device: torch.device
    non_blocking: bool = False
    channels_last: bool = False

    @property
    def transfers(self) -> bool:
        """Whether batches move at all."""
        return self.device.type != "cpu"

    def tensor(self, tensor: Tensor) -> Tensor:
        """One tensor, in place."""
        form = torch.preserve_format
        if self.channels_last and tensor.dim() == 4 and tensor.is_floating_point():
            form = torch.channels_last
        return tensor.to(self.device, non_blocking=self.non_blocking, memory_format=form)


def placed(batch: Any, placement: Placement) -> Any:  # noqa: ANN401  # a batch is anything
    """A batch in place: tensors, and tensors in mappings and sequences."""
    return each_tensor(batch, placement.tensor)


def each_tensor(batch: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401  # likewise
    """A batch with each of its tensors changed, also those in mappings and sequences."""
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
