"""Segmentation: a class for each pixel, by torchvision's LR-ASPP on MobileNetV3.

Its batches are no pairs: a mapping holds image and mask, of which `split` gives the model the one
and the loss the other, and the model's output is a mapping too. Look at how much of a step is data
and transfer, since a target is as large as an image here, and at what is kept for backward: the
activations of large images, many times the model.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD
from torch.utils.data import Dataset
from torchvision.models.segmentation import lraspp_mobilenet_v3_large

from stepbench import DataChoice, Workload, right_answers

PIXELS = 128
CLASSES = 3
"""Dark, neither, bright."""


class Masked(Dataset[dict[str, Tensor]]):
    """Images with masks that are made of them: each pixel's class is its third of brightness.

    Args:
        images: Items are an image (3, H, W) from -1 to 1, and something else.
    """

    def __init__(self, images: Any) -> None:  # noqa: ANN401  # any data set of images
        self._images = images

    def __len__(self) -> int:
        """As many as there are images."""
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """An image (3, H, W) and its mask (H, W)."""
        image: Tensor = self._images[index][0]
        brightness = (image.mean(0) + 1) / 2
        mask = (brightness * CLASSES).long().clamp(0, CLASSES - 1)
        return {"image": image, "mask": mask}


def loss(output: dict[str, Tensor], mask: Tensor) -> Tensor:
    """The mean cross entropy over all pixels."""
    return cross_entropy(output["out"], mask)


def right(output: dict[str, Tensor], mask: Tensor) -> Tensor:
    """The share of right pixels, summed over the images."""
    return right_answers(output["out"], mask)


def split(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the model is given of a batch, and what the loss is."""
    return batch["image"], batch["mask"]


def network() -> nn.Module:
    """The network, with random weights: pretrained ones would have to be fetched."""
    made: nn.Module = lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    return made


def make(choice: DataChoice) -> Workload:
    """The network on the images that were chosen."""
    data = choice.source(image_size=PIXELS)
    return Workload(
        model=network,
        dataset=lambda: Masked(data.train()),
        test_dataset=lambda: Masked(data.test()),
        loss=loss,
        metric=right,
        split=split,
        optimizer=lambda parameters: SGD(parameters, lr=0.01, momentum=0.9),
        data=data,
    )
