"""The data sets of the built-in workloads.

`cifar10` is CIFAR-10, or ten classes of synthetic images in the format of CIFAR-10. `jpeg` is a
folder of JPEG files, whose decoding loads the CPU. The import of this module is cheap: only
functions import torch and torchvision.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from stepbench.config.axes import DATASETS
from stepbench.data import cache
from stepbench.errors import UsageError, suggestion

if TYPE_CHECKING:
    from torch.utils.data import Dataset

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
"""The classes of CIFAR-10, in the order of their numbers."""
CIFAR10_FOLDER = "cifar-10-batches-py"
"""The folder that holds the files of CIFAR-10."""

Report: TypeAlias = Callable[[str], object]
"""A function that receives a short progress message."""


def ignore_report(message: str) -> None:
    """Discards a progress message."""


@dataclass(frozen=True)
class DataSource:
    """A data set with its facts, and the functions that make its files and load its parts.

    Attributes:
        name: The name in reports.
        origin: `generated` (by stepbench), `real` (the published data set) or `user`.
        prepare: Generates or downloads missing data, with a progress message; the next call does
            nothing.
        train: Prepares the data, and loads the training part. An image data set gives (image, class
            number) by index: the image is a float tensor (3, image_size, image_size), from -1 to 1.
        test: Prepares the data, and loads the test part.
        classes: The names of the classes, in the order of their numbers; empty if there are none.
        vocabulary: The number of different tokens; 0 if the data are not tokens.
        image_size: Width and height of the model's input images, pixels; 0 if the data are not
            images.
    """

    name: str
    origin: Literal["generated", "real", "user"]
    prepare: Callable[[Report], None]
    train: "Callable[[], Dataset[Any]]"
    test: "Callable[[], Dataset[Any]]"
    classes: tuple[str, ...] = ()
    image_size: int = 0
    vocabulary: int = 0


def source(
    name: str,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    image_size: int | None = None,
) -> DataSource:
    """The data set of a name. Nothing is generated, downloaded or loaded yet.

    Args:
        name: One of `stepbench.config.axes.DATASETS`.
        data_dir: The directory of real data: it holds `cifar-10-batches-py`, or `train/` and
            `test/` (or `val/`), each with a folder of images per class. Without `data_dir` and
            `download`, stepbench generates the data.
        download: Download CIFAR-10 into `data_dir`, or into the cache if `data_dir` is `None`.
        image_size: The minimum image size that the model accepts, pixels; smaller images are
            enlarged.

    Raises:
        UsageError: There is no such data set, or `data_dir` lacks its data.
    """
    if name not in DATASETS:
        raise UsageError(
            f"--dataset {name}: there is no such data set; {suggestion(name, DATASETS)}"
        )
    if data_dir is not None and not (download or data_dir.is_dir()):
        raise UsageError(
            f"--data-dir {data_dir}: there is no such directory; give an existing directory, "
            f"or leave out --data-dir for generated data"
        )
    make = _cifar10 if name == "cifar10" else _jpeg
    return make(data_dir, download, image_size or 0)


def _cifar10(data_dir: Path | None, download: bool, min_size: int) -> DataSource:
    if data_dir is None and not download:
        return _generated_cifar10(min_size)
    from stepbench.data import reading  # noqa: PLC0415  # see the module's docstring

    directory = data_dir or cache.location() / "published"
    if not download:
        _refuse_without_batches(directory)
    size = max(32, min_size)
    prepare = partial(_download, directory) if download else prepare_nothing
    load = partial(_load, prepare, reading.published_cifar10, directory, size)
    return DataSource(
        name="CIFAR-10",
        origin="real",
        classes=CIFAR10_CLASSES,
        image_size=size,
        prepare=prepare,
        train=partial(load, train=True),
        test=partial(load, train=False),
    )


def _generated_cifar10(min_size: int) -> DataSource:
    from stepbench.data import reading, synthetic_images  # noqa: PLC0415  # see the module's docstring

    directory = cache.location() / f"cifar10-v{cache.VERSION}"
    size = max(32, min_size)
    message = "generating 12,000 images in the format of CIFAR-10"
    prepare = partial(generate, directory, synthetic_images.write_cifar10, message)
    load = partial(_load, prepare, reading.generated_cifar10, directory, size)
    return DataSource(
        name="CIFAR-10 format",
        origin="generated",
        classes=synthetic_images.CLASSES,
        image_size=size,
        prepare=prepare,
        train=partial(load, train=True),
        test=partial(load, train=False),
    )


def _jpeg(data_dir: Path | None, download: bool, min_size: int) -> DataSource:
    if download:
        raise UsageError(
            "--download: only CIFAR-10 can be downloaded, and --dataset names jpeg; name a folder "
            "of images with --data-dir, or leave out --download for generated data"
        )
    if data_dir is None:
        return _generated_jpeg(min_size)
    from stepbench.data import reading  # noqa: PLC0415  # see the module's docstring

    train, test = _parts(data_dir)
    size = max(224, min_size)
    load = partial(_load, prepare_nothing, reading.image_folder)
    return DataSource(
        name=f"images in {data_dir.resolve().name}",
        origin="user",
        classes=_shared_classes(train, test),
        image_size=size,
        prepare=prepare_nothing,
        train=partial(load, train, size, train=True),
        test=partial(load, test, size, train=False),
    )


def _generated_jpeg(min_size: int) -> DataSource:
    from stepbench.data import reading, synthetic_images  # noqa: PLC0415  # see the module's docstring

    directory = cache.location() / f"jpeg-v{cache.VERSION}"
    size = max(224, min_size)
    prepare = partial(
        generate, directory, synthetic_images.write_jpegs, "generating 1,200 JPEG files"
    )
    load = partial(_load, prepare, reading.image_folder)
    return DataSource(
        name="JPEG files",
        origin="generated",
        classes=synthetic_images.CLASSES,
        image_size=size,
        prepare=prepare,
        train=partial(load, directory / "train", size, train=True),
        test=partial(load, directory / "test", size, train=False),
    )


def _refuse_without_batches(directory: Path) -> None:
    if (directory / CIFAR10_FOLDER).is_dir():
        return
    if directory.resolve().name == CIFAR10_FOLDER:
        remedy = f"name its parent directory: {directory.resolve().parent}"
    else:
        remedy = (
            "name the directory that contains it, or add --download to download it into this one"
        )
    raise UsageError(
        f"--data-dir {directory}: does not contain {CIFAR10_FOLDER}; {remedy}; "
        f"or leave out --data-dir for generated data"
    )


def _parts(directory: Path) -> tuple[Path, Path]:
    """The directories of the training part and the test part in a folder of images."""
    train = directory / "train"
    tests = [part for part in (directory / "test", directory / "val") if part.is_dir()]
    if not train.is_dir() or not tests:
        raise UsageError(
            f"--data-dir {directory}: lacks {'test/ or val/' if train.is_dir() else 'train/'}; "
            f"name a directory with train/ and with test/ or val/, each with a folder of images "
            f"per class, or leave out --data-dir for generated data"
        )
    return train, tests[0]


def _shared_classes(train: Path, test: Path) -> tuple[str, ...]:
    """The classes, equal in both parts: `ImageFolder` numbers each part's classes separately."""
    classes, test_classes = (
        tuple(sorted(folder.name for folder in part.iterdir() if folder.is_dir()))
        for part in (train, test)
    )
    if not classes:
        raise UsageError(
            f"--data-dir {train.parent}: train/ is empty; give each class a folder of "
            f"images there, or leave out --data-dir for generated data"
        )
    if unshared := sorted({*classes} ^ {*test_classes}):
        raise UsageError(
            f"--data-dir {train.parent}: the class {unshared[0]!r} is in only one of "
            f"train/ and {test.name}/; give both the same folders"
        )
    return classes


def generate(directory: Path, make: Callable[[Path], None], message: str, report: Report) -> None:
    """Generates data in the cache, unless they are there and intact.

    Args:
        directory: The directory of the data in the cache.
        make: Fills the empty directory that it is given.
        message: The progress message.
        report: Receives the progress message.
    """
    if not cache.intact(directory):
        report(message)
        cache.ensure(directory, make)


def _download(directory: Path, report: Report) -> None:
    from stepbench.data import reading  # noqa: PLC0415  # see the module's docstring

    report("downloading CIFAR-10, unless it is already there")
    reading.download_cifar10(directory)


def prepare_nothing(report: Report) -> None:
    """Does nothing: data in the user's directory need no preparation."""


def _load(
    prepare: Callable[[Report], None],
    read: "Callable[..., Dataset[Any]]",
    directory: Path,
    size: int,
    *,
    train: bool,
) -> "Dataset[Any]":
    prepare(ignore_report)
    return read(directory, size, train=train)
