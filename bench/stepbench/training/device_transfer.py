"""Moves a batch to the device, in the memory format of the case."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stepbench.training.batch import each_tensor


@dataclass(frozen=True)
class DeviceTransfer:
    """The transfer of a batch to the device that computes with it.

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
        """Tells if batches move at all."""
        return self.device.type != "cpu"

    def tensor(self, tensor: Tensor) -> Tensor:
        """One tensor, in place."""
        form = torch.preserve_format
        if self.channels_last and tensor.dim() == 4 and tensor.is_floating_point():
            form = torch.channels_last
        return tensor.to(self.device, non_blocking=self.non_blocking, memory_format=form)


def to_device(batch: Any, placement: DeviceTransfer) -> Any:  # noqa: ANN401  # a batch is anything
    """A batch in place: tensors, and tensors in mappings and sequences."""
    return each_tensor(batch, placement.tensor)
