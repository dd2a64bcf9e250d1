"""Cases and the matrix that spans them.

A *case* is one point: a workload with one value for each axis. A *matrix* is the values of each
axis and the cases that they span. Neither knows torch, so that cases can be listed at once.
"""

import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import PurePath
from typing import Any

from bench.data import DATASETS
from bench.errors import UsageError

EVERY_DEVICE = "all"
"""Stands for each device present, until these are known."""
OWN_DATASET = "own"
"""The data set that the workload itself trains on."""
COMPILE_MODES = ("off", "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One point of the matrix. Frozen and hashable; its fields are the axes, in order."""

    workload: str
    """A shipped name, `path/to/file.py:make` or `package.module:make`."""
    dataset: str = OWN_DATASET
    """A name from `bench.data.DATASETS`, or `own`: the workload's own."""
    device: str = "cpu"
    """As torch writes it: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`."""
    batch_size: int = 4
    num_workers: int = 0
    compile: str = "off"
    """`off`, a mode of `torch.compile`, or `backend:NAME`."""
    precision: str = "fp32"

    @property
    def id(self) -> str:
        """A readable name, such as `convnet-cpu-b32-w2-default-fp32`; fit for a file's name."""
        return "-".join(filter(None, (axis.label(getattr(self, axis.name)) for axis in AXES)))

    @property
    def eager_twin(self) -> "Case":
        """The same case without `torch.compile`."""
        return replace(self, compile="off")

    def values(self) -> dict[str, Any]:
        """The axes and this case's value on each."""
        return {axis.name: getattr(self, axis.name) for axis in AXES}


@dataclass(frozen=True)
class Axis:
    """A dimension of the matrix: how its values are read, written and explained."""

    name: str
    """The field of `Case`."""
    parse: Callable[[str], Any]
    """From a word of the command line; raises `ValueError` with what would have been right."""
    default: tuple[Any, ...]
    label: Callable[[Any], str]
    """The value's part in a case's id."""
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The command line's option."""
        return "--" + self.name.replace("_", "-")

    def read(self, words: Iterable[object]) -> tuple[Any, ...]:
        """The values that some words stand for, each once, in order.

        Raises:
            UsageError: A word is no value of this axis.
        """
        values = []
        for word in itertools.chain.from_iterable(_split(word) for word in words):
            try:
                values.append(self.parse(word))
            except ValueError as error:
                raise UsageError(f"{self.flag} {word}: {error}") from None
        return tuple(dict.fromkeys(values))


def _split(word: object) -> list[str]:
    return [part.strip() for part in str(word).split(",") if part.strip()] or [""]


def near(word: str, known: Iterable[str]) -> str:
    """A hint at what was meant, to end an error with: near matches, or else all there is."""
    known = list(known)
    matches = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if matches:
        return "did you mean " + " or ".join(matches) + "?"
    return "choose from " + ", ".join(known)


def workload_label(spec: str) -> str:
    """A workload's part in a case's id: a shipped name as it is, a file's stem, a module's end."""
    place, colon, attribute = spec.rpartition(":")
    if not colon:
        return spec
    stem = PurePath(place).stem if place.endswith(".py") else place.rpartition(".")[2]
    return stem if attribute == "make" else f"{stem}.{attribute}"


def _workload(word: str) -> str:
    if not word or word.startswith(":") or word.endswith(":"):
        raise ValueError("give a shipped name, path/to/file.py:make or package.module:make")
    if word.endswith(".py"):
        raise ValueError(f"say which function of the file makes the workload: {word}:make")
    return word


def _whole_number(at_least: int, what: str) -> Callable[[str], int]:
    def parse(word: str) -> int:
        try:
            number = int(word)
        except ValueError:
            number = at_least - 1
        if number < at_least:
            raise ValueError(f"{what}; give a whole number of {at_least} or more")
        return number

    return parse


def _one_of(known: tuple[str, ...], what: str) -> Callable[[str], str]:
    def parse(word: str) -> str:
        if word not in known:
            raise ValueError(f"is no {what}; {near(word, known)}")
        return word

    return parse


def _device(word: str) -> str:
    kind, colon, index = word.partition(":")
    if not kind.isalpha() or (colon and not index.isdigit()):
        raise ValueError("a device is written cpu, cuda, cuda:1, mps or xpu")
    return word


def _compile(word: str) -> str:
    if word.startswith("backend:") and len(word) > len("backend:"):
        return word
    if word not in COMPILE_MODES:
        hint = near(word, COMPILE_MODES)
        raise ValueError(f"is no mode of torch.compile; {hint}; or backend:NAME for a backend")
    return word


AXES: tuple[Axis, ...] = (
    Axis(
        name="workload",
        parse=_workload,
        default=("convnet",),
        label=workload_label,
        metavar="NAME",
        help="what is trained: convnet, a torchvision classifier (resnet18, vit_b_16, ...), "
        "path/to/file.py:make or package.module:make",
    ),
    Axis(
        name="dataset",
        parse=_one_of((OWN_DATASET, *DATASETS), "data set"),
        default=(OWN_DATASET,),
        label=lambda value: "" if value == OWN_DATASET else str(value),
        metavar="NAME",
        help=f"what it is trained on: {', '.join(DATASETS)}, or own (the workload's own)",
    ),
    Axis(
        name="device",
        parse=_device,
        default=(EVERY_DEVICE,),
        label=lambda value: str(value).replace(":", ""),
        metavar="DEVICE",
        help="cpu, cuda, cuda:1, mps, xpu",
    ),
    Axis(
        name="batch_size",
        parse=_whole_number(1, "a batch holds at least one sample"),
        default=(4, 32),
        label=lambda value: f"b{value}",
        metavar="N",
        help="samples in a batch",
    ),
    Axis(
        name="num_workers",
        parse=_whole_number(0, "0 loads in the training process itself"),
        default=(0, 2),
        label=lambda value: f"w{value}",
        metavar="N",
        help="processes that load data; 0 loads in the training process itself",
    ),
    Axis(
        name="compile",
        parse=_compile,
        default=("off", "default"),
        label=lambda value: str(value).replace(":", "."),
        metavar="MODE",
        help=f"torch.compile: {', '.join(COMPILE_MODES)}, or backend:NAME",
    ),
    Axis(
        name="precision",
        parse=_one_of(PRECISIONS, "precision"),
        default=("fp32",),
        label=str,
        metavar="NAME",
        help="fp32, tf32 (matrix products in TF32), bf16 or fp16 (autocast)",
    ),
)
"""Every axis, in the order of `Case`'s fields and of a case's id."""

AXIS = {axis.name: axis for axis in AXES}

if tuple(AXIS) != tuple(field.name for field in fields(Case)):  # pragma: no cover
    raise AssertionError("the axes and the fields of Case have come apart")


@dataclass(frozen=True)
class Matrix:
    """The axes and the cases that they span.

    Attributes:
        axes: The values of each axis.
        include: Cases to add: each names some axes, and takes the first value of the others.
        exclude: Cases to leave out: each that agrees with all the axes that one of these names.
    """

    axes: Mapping[str, tuple[Any, ...]]
    include: tuple[Mapping[str, Any], ...] = ()
    exclude: tuple[Mapping[str, Any], ...] = ()

    def on(self, devices: Iterable[str]) -> "Matrix":
        """The same matrix with `EVERY_DEVICE` replaced by the devices that there are."""
        if EVERY_DEVICE not in self.axes["device"]:
            return self
        return replace(self, axes={**self.axes, "device": tuple(devices)})

    @property
    def cases(self) -> tuple[Case, ...]:
        """Every case, each once: the product in the order of the axes, then those included.

        Raises:
            UsageError: Nothing is left, or two workloads would go by one name.
        """
        product = (
            Case(**dict(zip(self.axes, values, strict=True)))
            for values in itertools.product(*self.axes.values())
        )
        first = {name: values[0] for name, values in self.axes.items()}
        cases = [case for case in product if not self._excludes(case)]
        cases += [Case(**{**first, **extra}) for extra in self.include]
        unique = tuple(dict.fromkeys(cases))
        if not unique:
            raise UsageError("--matrix: exclude leaves no case; widen an axis or exclude less")
        _refuse_shared_names(unique)
        return unique

    def _excludes(self, case: Case) -> bool:
        return any(
            all(getattr(case, name) == value for name, value in pattern.items())
            for pattern in self.exclude
        )


def _refuse_shared_names(cases: tuple[Case, ...]) -> None:
    by_id: dict[str, Case] = {}
    for case in cases:
        other = by_id.setdefault(case.id, case)
        if other != case:
            raise UsageError(
                f"--workload {case.workload}: is called {workload_label(case.workload)!r} in the "
                f"results, as is {other.workload}; rename one, or measure them in two runs"
            )
