from collections import namedtuple

import torch

from stepbench.training.device_transfer import DeviceTransfer, to_device


def test_nested_batches_move_whole() -> None:
    batch = {"a": [torch.ones(2), "word"], "b": (torch.zeros(1), 3)}
    moved = to_device(batch, DeviceTransfer(torch.device("meta")))
    assert moved["a"][0].device.type == "meta"
    assert moved["a"][1] == "word"
    assert moved["b"][1] == 3


def test_images_are_laid_out_with_the_channels_last_and_labels_left_alone() -> None:
    placement = DeviceTransfer(torch.device("cpu"), channels_last=True)
    images, labels = to_device((torch.ones(2, 3, 4, 4), torch.zeros(2)), placement)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.is_contiguous()


def test_tuples_stay_tuples_in_place() -> None:
    Named = namedtuple("Named", ["x", "y"])  # noqa: PYI024  # as torch's own are
    placement = DeviceTransfer(torch.device("cpu"))
    found = to_device((torch.ones(1), [Named(torch.ones(2), "word")]), placement)
    assert isinstance(found, tuple)
    assert isinstance(found[1][0], Named)
