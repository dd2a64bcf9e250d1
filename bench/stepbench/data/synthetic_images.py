"""Synthetic images: ten classes that a convolution can tell apart, but a single pixel cannot.

A class is a figure or a pattern. Its position, size, rotation and two colors are random, so that
the class shows in the local structure and not in the value of any one pixel.

All arithmetic is on integers, so that every machine generates the same pixels. Lengths are in
*points*: the shorter side of an image has `POINTS` points, whatever its size in pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

POINTS = 2048
SEED = 2026

_BATCHES = {"train": range(5), "test": range(5, 6)}
"""The numbers of each part's batches; a number seeds the batch's random numbers."""
_PER_BATCH = 2000
_PER_FOLDER = {"train": 100, "test": 20}
_FIRST_JPEG_SEED = 6
_JPEG_SIDE = (256, 321)
"""The range of a JPEG's width and height, pixels; the upper limit is exclusive."""
_JPEG_QUALITY = 90

_BACKGROUND_COLORS = (10, 125)
_FIGURE_COLORS = (115, 245)
"""The ranges of the background's and the figure's color, in each channel. The ranges overlap, so
some images have little contrast."""

_ONE = 1024
"""The integer that represents 1 in the table of cosines and sines."""
_ROTATIONS = np.array(
    [
        [round(_ONE * function(math.radians(degree))) for function in (math.cos, math.sin)]
        for degree in range(360)
    ],
    dtype=np.int32,
)

Points: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]
Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Figure:
    """A class of images.

    Attributes:
        covers: Takes coordinates across and down from the figure's center, and the figure's size,
            all in points. Returns the mask of the coordinates that lie on the figure.
        sizes: The range of sizes, points; the upper limit is exclusive.
        max_offset: The greatest distance of the figure's center from the image's center along each
            axis, points.
        angle: The figure's mean rotation, degrees.
        max_tilt: The greatest random rotation to either side of `angle`, degrees.
    """

    covers: Callable[[Points, Points, Points], Mask]
    sizes: tuple[int, int]
    max_offset: int = 344
    angle: int = 0
    max_tilt: int = 180


@dataclass(frozen=True)
class Canvas:
    """The background of an image, and its resolution.

    Attributes:
        height: The height, pixels.
        width: The width, pixels.
        samples: The number of samples along each side of a pixel; more give smoother edges.
        noise: The greatest random change of each channel of each pixel, up or down, of 255.
    """

    height: int
    width: int
    samples: int
    noise: int


def _disc(across: Points, down: Points, size: Points) -> Mask:
    return across * across + down * down < size * size


def _ring(across: Points, down: Points, size: Points) -> Mask:
    return _disc(across, down, size) & ~_disc(across, down, size * 5 // 8)


def _square(across: Points, down: Points, size: Points) -> Mask:
    return np.maximum(abs(across), abs(down)) < size * 7 // 8


def _cross(across: Points, down: Points, size: Points) -> Mask:
    nearer, farther = np.minimum(abs(across), abs(down)), np.maximum(abs(across), abs(down))
    return (nearer < size // 4) & (farther < size)


def _triangle(across: Points, down: Points, size: Points) -> Mask:
    sides = abs(across) * 887 // 512 - down < size  # 887/512 is about the square root of 3
    return sides & (down < size // 2)


def _stripes(across: Points, down: Points, size: Points) -> Mask:  # noqa: ARG001  # as the others
    return down % size < size // 2


def _checkerboard(across: Points, down: Points, size: Points) -> Mask:
    return _stripes(across, down, size) ^ _stripes(down, across, size)


def _dots(across: Points, down: Points, size: Points) -> Mask:
    return _disc(across % size - size // 2, down % size - size // 2, size * 5 // 16)


FIGURES = {
    "checkerboard": Figure(_checkerboard, sizes=(512, 832), max_offset=1024, max_tilt=20),
    "cross": Figure(_cross, sizes=(560, 900)),
    "diagonal_stripes": Figure(_stripes, sizes=(420, 640), max_offset=1024, angle=45, max_tilt=12),
    "disc": Figure(_disc, sizes=(512, 832)),
    "dots": Figure(_dots, sizes=(420, 640), max_offset=1024),
    "horizontal_stripes": Figure(_stripes, sizes=(420, 640), max_offset=1024, max_tilt=12),
    "ring": Figure(_ring, sizes=(560, 900)),
    "square": Figure(_square, sizes=(512, 832)),
    "triangle": Figure(_triangle, sizes=(640, 960)),
    "vertical_stripes": Figure(_stripes, sizes=(420, 640), max_offset=1024, angle=90, max_tilt=12),
}
CLASSES = tuple(FIGURES)
"""The classes in alphabetical order, in which `ImageFolder` numbers classes."""


def generate_images(figure: Figure, count: int, canvas: Canvas, rng: np.random.Generator) -> Pixels:
    """Generates images of one class.

    Returns:
        Pixels (count, height, width, 3), from 0 to 255.
    """
    on_figure = _samples_on(figure, count, canvas, rng)
    by_pixel = (count, canvas.height, canvas.samples, canvas.width, canvas.samples)
    covered = on_figure.reshape(by_pixel).sum(axis=(2, 4), dtype=np.int32)[..., np.newaxis]

    background = rng.integers(*_BACKGROUND_COLORS, size=(count, 1, 1, 3), dtype=np.int32)
    color = rng.integers(*_FIGURE_COLORS, size=(count, 1, 1, 3), dtype=np.int32)
    images = background + (color - background) * covered // canvas.samples**2
    images += rng.integers(-canvas.noise, canvas.noise + 1, size=images.shape, dtype=np.int32)
    pixels: Pixels = np.clip(images, 0, 255).astype(np.uint8)
    return pixels


def _samples_on(figure: Figure, count: int, canvas: Canvas, rng: np.random.Generator) -> Mask:
    def random_integers(low: int, high: int) -> Points:
        return rng.integers(low, high, size=(count, 1, 1), dtype=np.int32)

    size = random_integers(*figure.sizes)
    shift_across = random_integers(-figure.max_offset, figure.max_offset + 1)
    shift_down = random_integers(-figure.max_offset, figure.max_offset + 1)
    rotation = _ROTATIONS[
        (figure.angle + random_integers(-figure.max_tilt, figure.max_tilt + 1)) % 360
    ]
    cosine, sine = rotation[..., 0], rotation[..., 1]

    down, across = _grid(canvas)
    across, down = across - shift_across, down - shift_down
    return figure.covers(
        (across * cosine + down * sine) // _ONE, (down * cosine - across * sine) // _ONE, size
    )


def _grid(canvas: Canvas) -> tuple[Points, Points]:
    """The coordinates of the samples, down and across from the image's center, points."""
    shorter = min(canvas.height, canvas.width)

    def line(pixels: int) -> Points:
        steps = 2 * np.arange(pixels * canvas.samples, dtype=np.int32) + 1 - pixels * canvas.samples
        return steps * POINTS // (2 * shorter * canvas.samples)

    return line(canvas.height)[:, np.newaxis], line(canvas.width)[np.newaxis, :]


def write_cifar10(directory: Path) -> None:
    """Writes 10,000 training and 2,000 test images of 32x32 pixels.

    CIFAR-10's own files are pickles, which can run code when they are read. These are plain arrays
    of the same pixels' layout.

    Args:
        directory: The directory of the files; `read_cifar10` reads them.
    """
    for part, numbers in _BATCHES.items():
        batches = [_batch(np.random.default_rng([SEED, number])) for number in numbers]
        planes = np.concatenate([images.transpose(0, 3, 1, 2) for images, _ in batches])
        labels = np.concatenate([labels for _, labels in batches])
        np.save(_images_file(directory, part), planes, allow_pickle=False)
        np.save(_labels_file(directory, part), labels, allow_pickle=False)


def read_cifar10(directory: Path, part: str) -> tuple[Pixels, list[int]]:
    """Reads what `write_cifar10` wrote.

    Args:
        directory: The directory of the files.
        part: `train` or `test`.

    Returns:
        Pixels (N, 32, 32, 3), in memory as torchvision's CIFAR-10 has them, and class numbers (N).

    Raises:
        OSError: A file is missing.
        ValueError: A file holds anything but an array of numbers.
    """
    planes: Pixels = _read_array(_images_file(directory, part))
    labels: list[int] = _read_array(_labels_file(directory, part)).tolist()
    return planes.transpose(0, 2, 3, 1), labels


def _read_array(file: Path) -> Any:  # noqa: ANN401  # an array of any type
    return np.load(file, allow_pickle=False)  # noqa: TID251  # refuses whatever is no plain array


def _images_file(directory: Path, part: str) -> Path:
    return directory / f"{part}-images.npy"


def _labels_file(directory: Path, part: str) -> Path:
    return directory / f"{part}-labels.npy"


def _batch(rng: np.random.Generator) -> tuple[Pixels, NDArray[np.int64]]:
    canvas = Canvas(height=32, width=32, samples=2, noise=36)
    per_class = _PER_BATCH // len(CLASSES)
    labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), per_class))
    images = np.empty((_PER_BATCH, canvas.height, canvas.width, 3), dtype=np.uint8)
    for label, figure in enumerate(FIGURES.values()):
        images[labels == label] = generate_images(figure, per_class, canvas, rng)
    return images, labels


def write_jpegs(directory: Path) -> None:
    """Writes 1,000 training and 200 test images of 256 to 320 pixels a side, as JPEG files.

    Args:
        directory: The directory of `train/CLASS/NNN.jpg` and `test/CLASS/NNN.jpg`.
    """
    for number, (part, count) in enumerate(_PER_FOLDER.items()):
        rng = np.random.default_rng([SEED, _FIRST_JPEG_SEED + number])
        for name, figure in FIGURES.items():
            folder = directory / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                height, width = rng.integers(*_JPEG_SIDE, size=2).tolist()
                canvas = Canvas(height, width, samples=1, noise=12)
                image = generate_images(figure, 1, canvas, rng)[0]
                Image.fromarray(image).save(folder / f"{index:03}.jpg", quality=_JPEG_QUALITY)
