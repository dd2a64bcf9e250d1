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
LOOPS = ("train", "eval")
DYNAMIC = ("auto", "on", "off")
COMPILE_MODES = ("off", "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
OPTIMIZERS = ("own", "plain", "foreach", "fused")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One point of the matrix. Frozen and hashable; its fields are the axes, in order."""

    workload: str
    """A shipped name, `path/to/file.py:make` or `package.module:make`."""
    dataset: str = OWN_DATASET
    """A name from `bench.data.DATASETS`, or `own`: the workload's own."""
    loop: str = "train"
    """`train`, or `eval`: evaluation mode under `no_grad`."""
    device: str = "cpu"
    """As torch writes it: `cpu`, `cuda`, `cuda:1`, `mps`, `xpu`."""
    batch_size: int = 4
    accumulate: int = 1
    """Backward passes to one step of the optimizer."""
    num_workers: int = 0
    prefetch_factor: int = 2
    """Batches that each loader worker keeps ready."""
    persistent_workers: bool = False
    pin_memory: bool = False
    non_blocking: bool = False
    compile: str = "off"
    """`off`, a mode of `torch.compile`, or `backend:NAME`."""
    dynamic: str = "auto"
    """Whether shapes are compiled as variable: `auto` decides at the second shape."""
    precision: str = "fp32"
    channels_last: bool = False
    optimizer: str = "own"
    """`own` leaves its implementation to the workload; `plain`, `foreach`, `fused`."""

    @property
    def id(self) -> str:
        """A readable name, such as `convnet-cpu-b32-w2-default-fp32`; fit for a file's name."""
        return "-".join(filter(None, (axis.label(getattr(self, axis.name)) for axis in AXES)))

    @property
    def eager_twin(self) -> "Case":
        """The same case without `torch.compile`."""
        return replace(self, compile="off").settled()

    @property
    def compiled_as(self) -> "Case":
        """The case that stands for all that compile as this one does."""
        return self._with_defaults(_UNSEEN_BY_COMPILERS).settled()

    @property
    def arithmetic(self) -> "Case":
        """The case that stands for all that compute the same: loading has no part in that."""
        return self._with_defaults(_UNSEEN_BY_ARITHMETIC).settled()

    @property
    def twin(self) -> "Case":
        """Eager fp32 on the same device: what this case's trained model is compared with."""
        return replace(
            self.arithmetic, compile="off", channels_last=False, optimizer="own", precision="fp32"
        ).settled()

    @property
    def yardstick(self) -> "Case":
        """Eager execution in the same precision, by whose error this case's is judged.

        In fp32 it runs on the CPU, so that a device which rounds more than that is found out.
        """
        plain = replace(self.arithmetic, compile="off", channels_last=False, optimizer="own")
        return (replace(plain, device="cpu") if self.precision == "fp32" else plain).settled()

    @property
    def reference(self) -> "Case":
        """What it should compute: eager on the CPU, in a precision that is not asked for here."""
        return replace(self.yardstick, device="cpu", precision="fp32").settled()

    @property
    def has_compile_cache(self) -> bool:
        """Whether it is compiled by Inductor, which keeps its results."""
        return self.compile in {*COMPILE_MODES[1:], "backend:inductor"}

    @property
    def samples(self) -> int:
        """How many samples a step goes through."""
        return self.batch_size * self.accumulate

    @property
    def trains(self) -> bool:
        """Whether it runs the training loop, not the evaluation loop."""
        return self.loop == "train"

    def settled(self) -> "Case":
        """The same case with the axes that have no meaning in it at their defaults."""
        moot = [name for name, (needs, _) in _NEEDS.items() if not needs(self)]
        return self._with_defaults(moot)

    def _with_defaults(self, names: Iterable[str]) -> "Case":
        changes: dict[str, Any] = {name: _DEFAULTS[name] for name in names}
        return replace(self, **changes)

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


def _switch(word: str) -> bool:
    switches = {"on": True, "true": True, "off": False, "false": False}
    if word.lower() not in switches:
        raise ValueError("give on, off, or both")
    return switches[word.lower()]


def _when_on(label: str) -> Callable[[Any], str]:
    return lambda value: label if value else ""


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
        name="loop",
        parse=_one_of(LOOPS, "loop"),
        default=("train",),
        label=lambda value: "" if value == "train" else str(value),
        metavar="NAME",
        help="train (the default), eval (evaluation mode under no_grad), or both",
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
        name="accumulate",
        parse=_whole_number(1, "a step has at least one backward pass"),
        default=(1,),
        label=lambda value: "" if value == 1 else f"acc{value}",
        metavar="N",
        help="backward passes to one step of the optimizer; gradients add up over N batches",
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
        name="prefetch_factor",
        parse=_whole_number(1, "a worker keeps at least one batch ready"),
        default=(2,),
        label=lambda value: "" if value == 2 else f"pf{value}",
        metavar="N",
        help="batches that each loader worker keeps ready (default 2)",
    ),
    Axis(
        name="persistent_workers",
        parse=_switch,
        default=(False,),
        label=_when_on("persistent"),
        metavar="on|off",
        help="keep loader workers from epoch to epoch: bears upon the restart alone",
    ),
    Axis(
        name="pin_memory",
        parse=_switch,
        default=(False,),
        label=_when_on("pin"),
        metavar="on|off",
        help="load batches into page-locked memory, from which transfers are faster",
    ),
    Axis(
        name="non_blocking",
        parse=_switch,
        default=(False,),
        label=_when_on("nonblocking"),
        metavar="on|off",
        help="do not wait for transfers to the device; needs --pin-memory on to take effect",
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
        name="dynamic",
        parse=_one_of(DYNAMIC, "setting of torch.compile's dynamic"),
        default=("auto",),
        label=lambda value: {"auto": "", "on": "dynamic", "off": "static"}[value],
        metavar="HOW",
        help="shapes that torch.compile takes as variable: on, off, or auto (the default)",
    ),
    Axis(
        name="precision",
        parse=_one_of(PRECISIONS, "precision"),
        default=("fp32",),
        label=str,
        metavar="NAME",
        help="fp32, tf32 (matrix products in TF32), bf16 or fp16 (autocast)",
    ),
    Axis(
        name="channels_last",
        parse=_switch,
        default=(False,),
        label=_when_on("channels_last"),
        metavar="on|off",
        help="keep images and convolutions' weights in memory with the channels last",
    ),
    Axis(
        name="optimizer",
        parse=_one_of(OPTIMIZERS, "implementation of an optimizer"),
        default=("own",),
        label=lambda value: "" if value == "own" else str(value),
        metavar="HOW",
        help="the optimizer's implementation: own (the workload's choice), plain (parameter by "
        "parameter), foreach, fused",
    ),
)
"""Every axis, in the order of `Case`'s fields and of a case's id."""

AXIS = {axis.name: axis for axis in AXES}

if tuple(AXIS) != tuple(field.name for field in fields(Case)):  # pragma: no cover
    raise AssertionError("the axes and the fields of Case have come apart")


_UNSEEN_BY_ARITHMETIC = (
    "num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "non_blocking",
)  # fmt: skip
_UNSEEN_BY_COMPILERS = ("accumulate", "optimizer", *_UNSEEN_BY_ARITHMETIC)
_DEFAULTS = {field.name: field.default for field in fields(Case)}


def _has_workers(case: Case) -> bool:
    return case.num_workers > 0


def _transfers(case: Case) -> bool:
    return case.device != "cpu"


_NEEDS: dict[str, tuple[Callable[[Case], bool], str]] = {
    "prefetch_factor": (_has_workers, "needs loader workers; give --num-workers 1 or more"),
    "persistent_workers": (_has_workers, "needs loader workers; give --num-workers 1 or more"),
    "pin_memory": (_transfers, "is of use only to transfers; give a --device other than cpu"),
    "non_blocking": (_transfers, "is of use only to transfers; give a --device other than cpu"),
    "dynamic": (lambda case: case.compile != "off", "is for torch.compile; give a --compile mode"),
    "accumulate": (lambda case: case.trains, "is for training; give --loop train"),
    "optimizer": (lambda case: case.trains, "is for training; give --loop train"),
}
"""The axes that only some cases have: which these are, and what to say where none is."""


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

        An axis that has no meaning in a case, such as `prefetch_factor` without workers, is at its
        default there, so that no case is measured twice.

        Raises:
            UsageError: Nothing is left, two workloads would go by one name, or a value that was
                asked for has no meaning in any case.
        """
        product = (
            Case(**dict(zip(self.axes, values, strict=True)))
            for values in itertools.product(*self.axes.values())
        )
        first = {name: values[0] for name, values in self.axes.items()}
        cases = [case for case in product if not self._excludes(case)]
        cases += [Case(**{**first, **extra}) for extra in self.include]
        unique = tuple(dict.fromkeys(case.settled() for case in cases))
        if not unique:
            raise UsageError("--matrix: exclude leaves no case; widen an axis or exclude less")
        _refuse_shared_names(unique)
        self._refuse_lost_values(cases, unique)
        return unique

    def _refuse_lost_values(self, cases: list[Case], settled: tuple[Case, ...]) -> None:
        """Nothing that was asked for goes without a case, and without a word."""
        for name, (_, remedy) in _NEEDS.items():
            lost = {getattr(case, name) for case in cases} - {getattr(c, name) for c in settled}
            for value in lost - {_DEFAULTS[name]}:
                word = {True: "on", False: "off"}.get(value, value)
                raise UsageError(f"{AXIS[name].flag} {word}: {remedy}")

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
