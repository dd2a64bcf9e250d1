"""Pictures that stepbench draws itself: ten classes that a convolution tells apart, a pixel cannot.

A class is a figure or a pattern. Where it lies, how large it is, how it is turned and what its two
colours are is left to chance, so that the class is in the local structure and not in the value of
any one pixel.

Everything is counted in whole numbers, so that each machine draws the same pixels. Lengths are in
*points*: a picture is `POINTS` points along its shorter side, whatever its width in pixels.
"""

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

POINTS = 2048
SEED = 2026
BATCHES_FOLDER = "stepbench-batches-py"
"""Not CIFAR-10's own `cifar-10-batches-py`: nobody is to take the one for the other."""
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
META = "batches.meta"

_PER_BATCH = 2000
_PER_FOLDER = {"train": 100, "test": 20}
_JPEG_SIDE = (256, 321)
"""The least width and height of a JPEG in pixels, and one more than the greatest."""
_JPEG_QUALITY = 90

_DARK = (10, 125)
_LIGHT = (115, 245)
"""The paper's and the figure's colours, in each channel. They overlap: some pictures are faint."""

_ONE = 1024
"""What stands for 1 in the table of cosines and sines."""
_TURNS = np.array(
    [
        [round(_ONE * turned(math.radians(degree))) for turned in (math.cos, math.sin)]
        for degree in range(360)
    ],
    dtype=np.int32,
)

Points: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]
Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Figure:
    """A class of pictures.

    Attributes:
        covers: Takes coordinates across and down from the figure's own centre, and its size, all in
            points; says which of them lie on the figure.
        sizes: The least size, and one more than the greatest, in points.
        wander: How far the centre may lie from the picture's own, in points.
        angle: How the figure is turned before chance turns it further, in degrees.
        tilt: How far chance turns it to either side, in degrees.
    """

    covers: Callable[[Points, Points, Points], Mask]
    sizes: tuple[int, int]
    wander: int = 344
    angle: int = 0
    tilt: int = 180


@dataclass(frozen=True)
class Paper:
    """The paper that pictures are drawn on.

    Attributes:
        height: In pixels.
        width: In pixels.
        samples: How many times along each side a pixel is looked at; more draw smoother edges.
        noise: How far chance moves each channel of each pixel, to either side, of 255.
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
    sides = abs(across) * 887 // 512 - down < size  # 887/512: the square root of three
    return sides & (down < size // 2)


def _stripes(across: Points, down: Points, size: Points) -> Mask:  # noqa: ARG001  # endless
    return down % size < size // 2


def _checkerboard(across: Points, down: Points, size: Points) -> Mask:
    return _stripes(across, down, size) ^ _stripes(down, across, size)


def _dots(across: Points, down: Points, size: Points) -> Mask:
    return _disc(across % size - size // 2, down % size - size // 2, size * 5 // 16)


FIGURES = {
    "checkerboard": Figure(_checkerboard, sizes=(512, 832), wander=1024, tilt=20),
    "cross": Figure(_cross, sizes=(560, 900)),
    "diagonal_stripes": Figure(_stripes, sizes=(420, 640), wander=1024, angle=45, tilt=12),
    "disc": Figure(_disc, sizes=(512, 832)),
    "dots": Figure(_dots, sizes=(420, 640), wander=1024),
    "horizontal_stripes": Figure(_stripes, sizes=(420, 640), wander=1024, tilt=12),
    "ring": Figure(_ring, sizes=(560, 900)),
    "square": Figure(_square, sizes=(512, 832)),
    "triangle": Figure(_triangle, sizes=(640, 960)),
    "vertical_stripes": Figure(_stripes, sizes=(420, 640), wander=1024, angle=90, tilt=12),
}
CLASSES = tuple(FIGURES)
"""In the order of the alphabet, which is the order that an image folder numbers its classes in."""


def draw(figure: Figure, count: int, paper: Paper, rng: np.random.Generator) -> Pixels:
    """Draws pictures of one class.

    Returns:
        Pixels of the shape (count, height, width, 3).
    """
    on_figure = _samples_on(figure, count, paper, rng)
    by_pixel = (count, paper.height, paper.samples, paper.width, paper.samples)
    covered = on_figure.reshape(by_pixel).sum(axis=(2, 4), dtype=np.int32)[..., np.newaxis]

    ground = rng.integers(*_DARK, size=(count, 1, 1, 3), dtype=np.int32)
    ink = rng.integers(*_LIGHT, size=(count, 1, 1, 3), dtype=np.int32)
    pictures = ground + (ink - ground) * covered // paper.samples**2
    pictures += rng.integers(-paper.noise, paper.noise + 1, size=pictures.shape, dtype=np.int32)
    pixels: Pixels = np.clip(pictures, 0, 255).astype(np.uint8)
    return pixels


def _samples_on(figure: Figure, count: int, paper: Paper, rng: np.random.Generator) -> Mask:
    def chance(low: int, high: int) -> Points:
        return rng.integers(low, high, size=(count, 1, 1), dtype=np.int32)

    size = chance(*figure.sizes)
    shift_across = chance(-figure.wander, figure.wander + 1)
    shift_down = chance(-figure.wander, figure.wander + 1)
    turn = _TURNS[(figure.angle + chance(-figure.tilt, figure.tilt + 1)) % 360]
    cosine, sine = turn[..., 0], turn[..., 1]

    down, across = _grid(paper)
    across, down = across - shift_across, down - shift_down
    return figure.covers(
        (across * cosine + down * sine) // _ONE, (down * cosine - across * sine) // _ONE, size
    )


def _grid(paper: Paper) -> tuple[Points, Points]:
    """The place of each sample, down and across from the picture's centre."""
    shorter = min(paper.height, paper.width)

    def line(pixels: int) -> Points:
        steps = 2 * np.arange(pixels * paper.samples, dtype=np.int32) + 1 - pixels * paper.samples
        return steps * POINTS // (2 * shorter * paper.samples)

    return line(paper.height)[:, np.newaxis], line(paper.width)[np.newaxis, :]


def write_cifar10(directory: Path) -> None:
    """Draws 10,000 training and 2,000 test pictures of 32x32 pixels, in CIFAR-10's own format.

    Args:
        directory: Where `BATCHES_FOLDER` is made.
    """
    folder = directory / BATCHES_FOLDER
    folder.mkdir()
    for number, name in enumerate((*TRAIN_BATCHES, TEST_BATCH)):
        pictures, labels = _batch(np.random.default_rng([SEED, number]))
        planes = pictures.transpose(0, 3, 1, 2).reshape(len(pictures), -1)
        _write_pickle(folder / name, {"batch_label": name, "labels": labels, "data": planes})
    _write_pickle(
        folder / META,
        {"label_names": list(CLASSES), "num_cases_per_batch": _PER_BATCH, "num_vis": 32 * 32 * 3},
    )


def _batch(rng: np.random.Generator) -> tuple[Pixels, list[int]]:
    paper = Paper(height=32, width=32, samples=2, noise=36)
    per_class = _PER_BATCH // len(CLASSES)
    labels = rng.permutation(np.repeat(np.arange(len(CLASSES)), per_class))
    pictures = np.empty((_PER_BATCH, paper.height, paper.width, 3), dtype=np.uint8)
    for label, figure in enumerate(FIGURES.values()):
        pictures[labels == label] = draw(figure, per_class, paper, rng)
    return pictures, labels.tolist()


def _write_pickle(path: Path, content: dict[str, Any]) -> None:
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=4)


def write_jpegs(directory: Path) -> None:
    """Draws 1,000 training and 200 test pictures of 256 to 320 pixels a side, as JPEG files.

    Args:
        directory: Where they go, as `train/CLASS/NNN.jpg` and `test/CLASS/NNN.jpg`.
    """
    for number, (part, count) in enumerate(_PER_FOLDER.items()):
        rng = np.random.default_rng([SEED, len(TRAIN_BATCHES) + 1 + number])
        for name, figure in FIGURES.items():
            folder = directory / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                height, width = rng.integers(*_JPEG_SIDE, size=2).tolist()
                paper = Paper(height, width, samples=1, noise=12)
                picture = draw(figure, 1, paper, rng)[0]
                Image.fromarray(picture).save(folder / f"{index:03}.jpg", quality=_JPEG_QUALITY)
