"""Segmentation: a class for each pixel, by torchvision's LR-ASPP on MobileNetV3.

A batch is a mapping of images and masks, not a pair: `split` passes the images to the model and the
masks to the loss. The model's output is a mapping too. Look at how much of a step is data loading
and transfer, since each pixel has a target, and at the memory saved for backward: the activations
of large images take many times the model's size.
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
"""The number of classes: dark, medium, bright."""


class Masked(Dataset[dict[str, Tensor]]):
    """Images with masks made from the images: a pixel's class is its third of the brightness range.

    Args:
        images: A data set whose items begin with an image (3, H, W) in [-1, 1].
    """

    def __init__(self, images: Any) -> None:  # noqa: ANN401  # any data set of images
        self._images = images

    def __len__(self) -> int:
        """The number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The image (3, H, W) at an index, and the image's mask (H, W)."""
        image: Tensor = self._images[index][0]
        brightness = (image.mean(0) + 1) / 2
        mask = (brightness * CLASSES).long().clamp(0, CLASSES - 1)
        return {"image": image, "mask": mask}


def loss(output: dict[str, Tensor], mask: Tensor) -> Tensor:
    """Computes the mean cross entropy over all pixels."""
    return cross_entropy(output["out"], mask)


def pixel_accuracy(output: dict[str, Tensor], mask: Tensor) -> Tensor:
    """Sums each image's share of correctly classified pixels."""
    return right_answers(output["out"], mask)


def split(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Splits a batch into the model's input and the loss's target."""
    return batch["image"], batch["mask"]


def network() -> nn.Module:
    """Makes the network with random weights, as pretrained weights need a download."""
    model: nn.Module = lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    )
    return model


def make(choice: DataChoice) -> Workload:
    """Makes the workload from the chosen images."""
    data = choice.source(image_size=PIXELS)
    return Workload(
        model=network,
        dataset=lambda: Masked(data.train()),
        test_dataset=lambda: Masked(data.test()),
        loss=loss,
        metric=pixel_accuracy,
        split=split,
        optimizer=lambda parameters: SGD(parameters, lr=0.01, momentum=0.9),
        data=data,
    )
