"""The data sets that shipped workloads train on.

`cifar10` is CIFAR-10, or ten classes of pictures that stepbench draws in its format; `jpeg` is a
folder of JPEG files, whose decoding makes the loader work. Importing this costs next to nothing:
torch and torchvision are imported by the functions.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench import data_cache
from bench.errors import UsageError

if TYPE_CHECKING:
    from torch.utils.data import Dataset, TensorDataset

DATASETS = ("cifar10", "jpeg")
"""The data sets' names, as `--dataset` takes them."""

DRAWN_CLASSES = (
    "checkerboard",
    "cross",
    "diagonal_stripes",
    "disc",
    "dots",
    "horizontal_stripes",
    "ring",
    "square",
    "triangle",
    "vertical_stripes",
)
"""The classes of what stepbench draws."""
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

Report: TypeAlias = Callable[[str], object]
"""Takes a few words on what is being done."""


@dataclass(frozen=True)
class DataSource:
    """A data set with its facts: known at once, drawn, fetched and loaded when asked.

    Attributes:
        name: What reports call it.
        origin: `generated` (drawn by stepbench), `real` (the published data set) or `user`.
        classes: The classes' names, in the order of their numbers.
        image_size: Width and height of the images that a model gets, in pixels.
        prepare: Draws or fetches what is not there yet, and says so; does nothing the next time.
        train: Prepares, and loads the training part: (image, class number) by index. The image is
            a float tensor of the shape (3, image_size, image_size), from -1 to 1.
        test: The same for the test part.
    """

    name: str
    origin: Literal["generated", "real", "user"]
    classes: tuple[str, ...]
    image_size: int
    prepare: Callable[[Report], None]
    train: "Callable[[], Dataset[Any]]"
    test: "Callable[[], Dataset[Any]]"


def source(
    name: str,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    image_size: int | None = None,
) -> DataSource:
    """A data set by its name. Nothing is drawn, fetched or loaded yet.

    Args:
        name: One of `DATASETS`.
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
        matches = difflib.get_close_matches(name, DATASETS, cutoff=0.5)
        hint = f"did you mean {' or '.join(matches)}?" if matches else f"choose from {DATASETS}"
        raise UsageError(f"--dataset {name}: there is no such data set; {hint}")
    if data_dir is not None and not (download or data_dir.is_dir()):
        raise UsageError(
            f"--data-dir {data_dir}: there is no such directory; name one that is there, or leave "
            f"it out for generated data"
        )
    make = _cifar10 if name == "cifar10" else _jpeg
    return make(data_dir, download, image_size or 0)


def prepare(
    name: str,
    *,
    data_dir: Path | None = None,
    download: bool = False,
    report: Report = lambda words: None,  # noqa: ARG005  # nobody is listening
) -> None:
    """Draws or fetches a data set, where it is not there yet, so that loading it is quick.

    Args:
        name: As for `source`.
        data_dir: As for `source`.
        download: As for `source`.
        report: Told what is being done, if anything is.

    Raises:
        UsageError: As `source` does; or the data cannot be fetched, or the cache not be written.
    """
    source(name, data_dir=data_dir, download=download).prepare(report)


def in_memory(dataset: "Dataset[Any]") -> "TensorDataset":
    """Decodes a data set once, to serve it from memory.

    What its transforms leave to chance is decided once as well.

    Args:
        dataset: Has a length; its items are tuples of tensors and numbers, each of one shape
            throughout.

    Returns:
        The same items, as tensors.
    """
    import torch  # noqa: PLC0415  # see the module's docstring
    from torch.utils.data import TensorDataset  # noqa: PLC0415

    length = len(dataset)  # type: ignore[arg-type]  # Dataset does not promise a length
    cells = [torch.as_tensor(cell) for cell in dataset[0]]
    columns = [torch.empty((length, *cell.shape), dtype=cell.dtype) for cell in cells]
    for row in range(length):
        for column, cell in zip(columns, dataset[row], strict=True):
            column[row] = torch.as_tensor(cell)
    return TensorDataset(*columns)


def _cifar10(data_dir: Path | None, download: bool, least_size: int) -> DataSource:
    size = max(32, least_size)
    if data_dir is None and not download:
        place = data_cache.location() / f"cifar10-v{data_cache.VERSION}"

        def prepare_drawn(report: Report) -> None:
            from bench import drawing  # noqa: PLC0415  # NumPy and Pillow are not needed for names

            if not data_cache.intact(place):
                report("drawing 12,000 images in CIFAR-10's format")
                data_cache.keep(place, drawing.write_cifar10)

        return DataSource(
            name="CIFAR-10 format",
            origin="generated",
            classes=DRAWN_CLASSES,
            image_size=size,
            prepare=prepare_drawn,
            train=partial(_load, prepare_drawn, "generated_cifar10", place, size, train=True),
            test=partial(_load, prepare_drawn, "generated_cifar10", place, size, train=False),
        )

    place = data_dir or data_cache.location() / "published"

    def prepare_published(report: Report) -> None:
        if download:
            from bench import reading  # noqa: PLC0415  # see the module's docstring

            report("fetching CIFAR-10")
            reading.download_cifar10(place)

    if not download and not (place / "cifar-10-batches-py").is_dir():
        raise UsageError(
            f"--data-dir {place}: it holds no cifar-10-batches-py; name the directory that does, "
            f"add --download to fetch it, or leave it out for generated data"
        )
    return DataSource(
        name="CIFAR-10",
        origin="real",
        classes=CIFAR10_CLASSES,
        image_size=size,
        prepare=prepare_published,
        train=partial(_load, prepare_published, "published_cifar10", place, size, train=True),
        test=partial(_load, prepare_published, "published_cifar10", place, size, train=False),
    )


def _jpeg(data_dir: Path | None, download: bool, least_size: int) -> DataSource:
    if download:
        raise UsageError(
            "--download: only CIFAR-10 can be fetched; name a folder of images by --data-dir"
        )
    size = max(224, least_size)
    if data_dir is not None:
        train, test = _parts(data_dir)
        return DataSource(
            name=f"images in {data_dir.name}",
            origin="user",
            classes=tuple(sorted(folder.name for folder in train.iterdir() if folder.is_dir())),
            image_size=size,
            prepare=_nothing_to_prepare,
            train=partial(_load, _nothing_to_prepare, "image_folder", train, size, train=True),
            test=partial(_load, _nothing_to_prepare, "image_folder", test, size, train=False),
        )
    place = data_cache.location() / f"jpeg-v{data_cache.VERSION}"

    def prepare_drawn(report: Report) -> None:
        from bench import drawing  # noqa: PLC0415  # NumPy and Pillow are not needed for names

        if not data_cache.intact(place):
            report("drawing 1,200 JPEG files")
            data_cache.keep(place, drawing.write_jpegs)

    return DataSource(
        name="JPEG files",
        origin="generated",
        classes=DRAWN_CLASSES,
        image_size=size,
        prepare=prepare_drawn,
        train=partial(_load, prepare_drawn, "image_folder", place / "train", size, train=True),
        test=partial(_load, prepare_drawn, "image_folder", place / "test", size, train=False),
    )


def _parts(directory: Path) -> tuple[Path, Path]:
    """The training and the test part of a folder of images."""
    train = directory / "train"
    tests = [directory / name for name in ("test", "val") if (directory / name).is_dir()]
    if not train.is_dir() or not tests:
        raise UsageError(
            f"--data-dir {directory}: lacks {'train/' if not train.is_dir() else 'test/ or val/'}; "
            f"each holds a folder of images per class"
        )
    return train, tests[0]


def _nothing_to_prepare(_: Report) -> None:
    """What lies in the user's own directory is there already."""


def _load(
    prepare: Callable[[Report], None], reader: str, place: Path, size: int, *, train: bool
) -> "Dataset[Any]":
    """Prepares a data set and has `bench.reading` read it."""
    from bench import reading  # noqa: PLC0415  # see the module's docstring

    prepare(lambda _: None)
    dataset: Dataset[Any] = getattr(reading, reader)(place, size, train=train)
    return dataset
