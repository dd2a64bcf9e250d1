from collections import namedtuple

import torch

from stepbench.training.device_transfer import DeviceTransfer, to_device


def test_nested_batches_move_completely() -> None:
    batch = {"a": [torch.ones(2), "word"], "b": (torch.zeros(1), 3)}
    moved = to_device(batch, DeviceTransfer(torch.device("meta")))
    assert moved["a"][0].device.type == "meta"
    assert moved["a"][1] == "word"
    assert moved["b"][1] == 3


def test_channels_last_changes_images_only() -> None:
    transfer = DeviceTransfer(torch.device("cpu"), channels_last=True)
    images, labels = to_device((torch.ones(2, 3, 4, 4), torch.zeros(2)), transfer)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.is_contiguous()


def test_tuples_stay_tuples() -> None:
    Named = namedtuple("Named", ["x", "y"])  # noqa: PYI024  # as torch's own are
    transfer = DeviceTransfer(torch.device("cpu"))
    moved = to_device((torch.ones(1), [Named(torch.ones(2), "word")]), transfer)
    assert isinstance(moved, tuple)
    assert isinstance(moved[1][0], Named)
