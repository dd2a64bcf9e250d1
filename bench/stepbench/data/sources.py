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
from stepbench.errors import UsageError, near

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


def unheard(words: str) -> None:
    """Discards a progress message."""


@dataclass(frozen=True)
class DataSource:
    """A data set with its facts. The data are generated, downloaded and loaded on demand.

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
        image_size: The least image size that the model accepts, pixels; smaller images are
            enlarged.

    Raises:
        UsageError: There is no such data set, or `data_dir` lacks its data.
    """
    if name not in DATASETS:
        raise UsageError(f"--dataset {name}: there is no such data set; {near(name, DATASETS)}")
    if data_dir is not None and not (download or data_dir.is_dir()):
        raise UsageError(
            f"--data-dir {data_dir}: there is no such directory; name one that is there, or leave "
            f"it out for generated data"
        )
    make = _cifar10 if name == "cifar10" else _jpeg
    return make(data_dir, download, image_size or 0)


def _cifar10(data_dir: Path | None, download: bool, least_size: int) -> DataSource:
    if data_dir is None and not download:
        return _drawn_cifar10(least_size)
    from stepbench.data import reading  # noqa: PLC0415  # see the module's docstring

    place = data_dir or cache.location() / "published"
    if not download:
        _refuse_without_batches(place)
    size = max(32, least_size)
    prepare = partial(_fetch, place) if download else lies_there
    load = partial(_load, prepare, reading.published_cifar10, place, size)
    return DataSource(
        name="CIFAR-10",
        origin="real",
        classes=CIFAR10_CLASSES,
        image_size=size,
        prepare=prepare,
        train=partial(load, train=True),
        test=partial(load, train=False),
    )


def _drawn_cifar10(least_size: int) -> DataSource:
    from stepbench.data import reading, synthetic_images  # noqa: PLC0415  # see the module's docstring

    place = cache.location() / f"cifar10-v{cache.VERSION}"
    size = max(32, least_size)
    words = "drawing 12,000 images in CIFAR-10's format"
    prepare = partial(generate, place, synthetic_images.write_cifar10, words)
    load = partial(_load, prepare, reading.generated_cifar10, place, size)
    return DataSource(
        name="CIFAR-10 format",
        origin="generated",
        classes=synthetic_images.CLASSES,
        image_size=size,
        prepare=prepare,
        train=partial(load, train=True),
        test=partial(load, train=False),
    )


def _jpeg(data_dir: Path | None, download: bool, least_size: int) -> DataSource:
    if download:
        raise UsageError(
            "--download: only CIFAR-10 can be fetched, and --dataset names jpeg; name a folder of "
            "images by --data-dir, or leave out --download for generated data"
        )
    if data_dir is None:
        return _drawn_jpeg(least_size)
    from stepbench.data import reading  # noqa: PLC0415  # see the module's docstring

    train, test = _parts(data_dir)
    size = max(224, least_size)
    load = partial(_load, lies_there, reading.image_folder)
    return DataSource(
        name=f"images in {data_dir.resolve().name}",
        origin="user",
        classes=_shared_classes(train, test),
        image_size=size,
        prepare=lies_there,
        train=partial(load, train, size, train=True),
        test=partial(load, test, size, train=False),
    )


def _drawn_jpeg(least_size: int) -> DataSource:
    from stepbench.data import reading, synthetic_images  # noqa: PLC0415  # see the module's docstring

    place = cache.location() / f"jpeg-v{cache.VERSION}"
    size = max(224, least_size)
    prepare = partial(generate, place, synthetic_images.write_jpegs, "drawing 1,200 JPEG files")
    load = partial(_load, prepare, reading.image_folder)
    return DataSource(
        name="JPEG files",
        origin="generated",
        classes=synthetic_images.CLASSES,
        image_size=size,
        prepare=prepare,
        train=partial(load, place / "train", size, train=True),
        test=partial(load, place / "test", size, train=False),
    )


def _refuse_without_batches(directory: Path) -> None:
    if (directory / CIFAR10_FOLDER).is_dir():
        return
    if directory.resolve().name == CIFAR10_FOLDER:
        remedy = f"name the directory that it lies in: {directory.resolve().parent}"
    else:
        remedy = "name the directory that holds it, or add --download to fetch it into this one"
    raise UsageError(
        f"--data-dir {directory}: there is no {CIFAR10_FOLDER} in it; {remedy}; "
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
    classes, tested = (
        tuple(sorted(folder.name for folder in part.iterdir() if folder.is_dir()))
        for part in (train, test)
    )
    if not classes:
        raise UsageError(
            f"--data-dir {train.parent}: there is nothing in train/; give each class a folder of "
            f"images there, or leave out --data-dir for generated data"
        )
    if odd := sorted({*classes} ^ {*tested}):
        raise UsageError(
            f"--data-dir {train.parent}: the class {odd[0]!r} is in one of train/ and {test.name}/ "
            f"only; give both the same folders"
        )
    return classes


def generate(place: Path, make: Callable[[Path], None], words: str, report: Report) -> None:
    """Generates data in the cache, unless they are there and intact.

    Args:
        place: The directory of the data in the cache.
        make: Fills the empty directory that it is given.
        words: The progress message.
        report: Receives the progress message.
    """
    if not cache.intact(place):
        report(words)
        cache.keep(place, make)


def _fetch(place: Path, report: Report) -> None:
    from stepbench.data import reading  # noqa: PLC0415  # see the module's docstring

    report("looking for CIFAR-10, and fetching it if it is not there")
    reading.download_cifar10(place)


def lies_there(report: Report) -> None:
    """Does nothing: data in the user's directory need no preparation."""


def _load(
    prepare: Callable[[Report], None],
    read: "Callable[..., Dataset[Any]]",
    place: Path,
    size: int,
    *,
    train: bool,
) -> "Dataset[Any]":
    prepare(unheard)
    return read(place, size, train=train)
