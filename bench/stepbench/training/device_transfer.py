"""Moves a batch to the device, in the memory format of the case."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stepbench.training.batch import map_tensors


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
    def is_needed(self) -> bool:
        """True if batches move to another device than the CPU."""
        return self.device.type != "cpu"

    def tensor(self, tensor: Tensor) -> Tensor:
        """Moves a tensor to the device, in the memory format of the case."""
        memory_format = torch.preserve_format
        if self.channels_last and tensor.dim() == 4 and tensor.is_floating_point():
            memory_format = torch.channels_last
        return tensor.to(self.device, non_blocking=self.non_blocking, memory_format=memory_format)


def to_device(batch: Any, transfer: DeviceTransfer) -> Any:  # noqa: ANN401  # a batch is anything
    """Moves a batch to the device: tensors, and tensors in mappings and sequences."""
    return map_tensors(batch, transfer.tensor)
