"""The data sets that shipped workloads train on.

`cifar10` is CIFAR-10, or ten classes of pictures that stepbench draws in its format; `jpeg` is a
folder of JPEG files, whose decoding makes the loader work. Importing this costs next to nothing:
torch and torchvision are imported by the functions.
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
"""The published classes, in the order of their numbers."""
CIFAR10_FOLDER = "cifar-10-batches-py"
"""The folder that holds the published files."""

Report: TypeAlias = Callable[[str], object]
"""Takes a few words on what is being done."""


def unheard(words: str) -> None:
    """A report that nobody listens to."""


@dataclass(frozen=True)
class DataSource:
    """A data set with its facts: known at once, drawn, fetched and loaded when asked.

    Attributes:
        name: What reports call it.
        origin: `generated` (drawn by stepbench), `real` (the published data set) or `user`.
        prepare: Draws or fetches what is not there yet, and says so; does nothing the next time.
        train: Prepares, and loads the training part. Of images, (image, class number) by index: the
            image is a float tensor of the shape (3, image_size, image_size), from -1 to 1.
        test: The same for the test part.
        classes: The classes' names, in the order of their numbers; none where there are no classes.
        vocabulary: How many tokens there are; 0 where there are none.
        image_size: Width and height of the images that a model gets, in pixels; 0 where there are
            no images.
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
    """A data set by its name. Nothing is drawn, fetched or loaded yet.

    Args:
        name: One of `stepbench.config.axes.DATASETS`.
        data_dir: Where real data lie: the directory that holds `cifar-10-batches-py`, or one with
            `train/` and with `test/` or `val/`, each with a folder of images per class. Without it
            the data are drawn by stepbench.
        download: Fetch CIFAR-10 into `data_dir`, or into the cache where there is none.
        image_size: The smallest width in pixels that the model accepts; smaller images are scaled
            up to it.

    Raises:
        UsageError: There is no such data set, or no such data in `data_dir`.
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
    """The training and the test part of a folder of images."""
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
    """The classes of both parts: an image folder numbers those of each part by themselves."""
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
    """Draws data into their place in the cache, where they are not there yet.

    Args:
        place: The directory.
        make: Fills an empty directory.
        words: What is told while it does.
        report: Is told.
    """
    if not cache.intact(place):
        report(words)
        cache.keep(place, make)


def _fetch(place: Path, report: Report) -> None:
    from stepbench.data import reading  # noqa: PLC0415  # see the module's docstring

    report("looking for CIFAR-10, and fetching it if it is not there")
    reading.download_cifar10(place)


def lies_there(report: Report) -> None:
    """Prepares what lies in the user's own directory: there is nothing to do."""


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
