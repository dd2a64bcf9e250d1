"""Readers of data sets: torchvision's classes with transforms.

CIFAR-10 is transformed as in PyTorch's tutorial, image folders as is usual for ImageNet. This
module imports torch, so only functions import it. All data sets can be pickled for loader
workers.
"""

from pathlib import Path

from torchvision.datasets import CIFAR10, ImageFolder, VisionDataset
from torchvision.transforms import (
    CenterCrop,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToTensor,
)

from stepbench.data import synthetic_images
from stepbench.errors import UsageError

_TO_TENSOR = (ToTensor(), Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


class GeneratedCIFAR10(CIFAR10):  # type: ignore[misc]  # torchvision ships no types
    """Torchvision's CIFAR-10 for the images that stepbench generates, which are plain arrays.

    Items are made by torchvision's code, so that a batch costs what one of CIFAR-10 costs.

    Args:
        root: The cache's directory that `synthetic_images.write_cifar10` filled.
        train: True for the training part, false for the test part.
        transform: The transform of images, as for torchvision's `CIFAR10`.

    Raises:
        OSError: A file is missing.
        ValueError: A file holds anything but an array of numbers.
    """

    def __init__(self, root: Path, *, train: bool, transform: Compose | None = None) -> None:
        VisionDataset.__init__(self, root, transform=transform)
        self.train = train
        self.data, self.targets = synthetic_images.read_cifar10(root, "train" if train else "test")
        self.classes = list(synthetic_images.CLASSES)
        self.class_to_idx = {name: number for number, name in enumerate(self.classes)}


def generated_cifar10(directory: Path, image_size: int, *, train: bool) -> GeneratedCIFAR10:
    """Reads generated images (3, image_size, image_size) from -1 to 1, and class numbers."""
    return GeneratedCIFAR10(directory, train=train, transform=_resized(image_size))


def published_cifar10(directory: Path, image_size: int, *, train: bool) -> CIFAR10:
    """Reads CIFAR-10: images (3, image_size, image_size) from -1 to 1, and class numbers.

    Raises:
        UsageError: A file is missing or damaged.
    """
    try:
        return CIFAR10(directory, train=train, transform=_resized(image_size))
    except RuntimeError as error:
        raise UsageError(
            f"--data-dir {directory}: {CIFAR10.base_folder} lacks a file, or a file is damaged; "
            f"add --download to download it again, or leave out --data-dir for generated data"
        ) from error


def download_cifar10(directory: Path) -> None:
    """Downloads CIFAR-10 into a directory, unless the directory holds the data already.

    Raises:
        UsageError: The download failed.
    """
    try:
        CIFAR10(directory, download=True)
    # URLs, sockets, HTTP, archives and disks each raise different exceptions; the remedy is the
    # same for all.
    except Exception as error:
        raise UsageError(
            f"--download: {CIFAR10.url} could not be downloaded into {directory} ({error}); "
            f"connect to the network and try again, or leave out --download for generated data"
        ) from error


def image_folder(directory: Path, image_size: int, *, train: bool) -> ImageFolder:
    """Reads image files in a folder per class: images (3, image_size, image_size) from -1 to 1.

    Training images are cropped and flipped at random, as is usual for ImageNet. Test images are
    resized and center-cropped.

    Raises:
        UsageError: A class has no image.
    """
    try:
        return ImageFolder(directory, _augmented(image_size) if train else _centered(image_size))
    except FileNotFoundError as error:
        raise UsageError(
            f"--data-dir {directory.parent}: {error}; each folder in {directory.name}/ is a class: "
            f"give it images, or remove it"
        ) from error


def _resized(image_size: int) -> Compose:
    resize = [] if image_size == 32 else [Resize(image_size)]
    return Compose([*resize, *_TO_TENSOR])


def _augmented(image_size: int) -> Compose:
    return Compose([RandomResizedCrop(image_size), RandomHorizontalFlip(), *_TO_TENSOR])


def _centered(image_size: int) -> Compose:
    return Compose([Resize(image_size * 8 // 7), CenterCrop(image_size), *_TO_TENSOR])
