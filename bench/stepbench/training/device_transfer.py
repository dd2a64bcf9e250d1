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
        device: The device.
        non_blocking: True if the host does not wait for the transfer of a batch.
        channels_last: True if images, floating-point tensors (N, C, H, W), are stored in
            `torch.channels_last`.
    """

    device: torch.device
    non_blocking: bool = False
    channels_last: bool = False

    @property
    def transfers(self) -> bool:
        """True if batches move to another device than the CPU."""
        return self.device.type != "cpu"

    def tensor(self, tensor: Tensor) -> Tensor:
        """Moves a tensor to the device, in the memory format of the case."""
        form = torch.preserve_format
        if self.channels_last and tensor.dim() == 4 and tensor.is_floating_point():
            form = torch.channels_last
        return tensor.to(self.device, non_blocking=self.non_blocking, memory_format=form)


def to_device(batch: Any, placement: DeviceTransfer) -> Any:  # noqa: ANN401  # a batch is anything
    """Moves a batch to the device: tensors, and tensors in mappings and sequences."""
    return each_tensor(batch, placement.tensor)
