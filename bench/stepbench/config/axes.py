"""The axes as command-line options: parsers, the values of the default matrix, and help texts.

`stepbench_reports.schema.axes` defines the rest of an axis: its default in a case, its label in an
id, and its wording in reports.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from stepbench.config.values import option_name
from stepbench.errors import UsageError, near

GREATEST = 2**53
"""The largest whole number that a run directory can store."""
DATASETS = ("cifar10", "jpeg")
"""The names of data sets that `--dataset` accepts."""


EVERY_DEVICE = "all"
"""The placeholder for all devices that are present; `Matrix.on` replaces it."""
OWN_DATASET = "own"
"""The name for the data set that the workload itself defines."""
LOOPS = ("train", "eval")
DYNAMIC = ("auto", "on", "off")
COMPILE_MODES = ("off", "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
OPTIMIZERS = ("own", "plain", "foreach", "fused")


@dataclass(frozen=True)
class Axis:
    """A dimension of the matrix: the parser, the default values and the help of an option."""

    name: str
    """The name of the field of `Case`."""
    parse: Callable[[str], Any]
    """Parses one value; raises `ValueError` with the remedy in the message."""
    default: tuple[Any, ...]
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The command-line option, such as `--batch-size`."""
        return option_name(self.name)

    def read(self, words: Iterable[object]) -> tuple[Any, ...]:
        """Parses words, which may be comma-separated lists, into distinct values, in order.

        Raises:
            UsageError: A word is not a value of the axis.
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


def _workload(word: str) -> str:
    if not word or word.startswith(":") or word.endswith(":"):
        raise ValueError("give a shipped name, path/to/file.py:make or package.module:make")
    if word.endswith(".py"):
        raise ValueError(f"say which function of the file makes the workload: {word}:make")
    return word


def _whole_number(at_least: int, reason: str) -> Callable[[str], int]:
    def parse(word: str) -> int:
        try:
            number = int(word)
        except ValueError:
            number = at_least - 1
        if number < at_least:
            raise ValueError(f"{reason}; give a whole number of {at_least} or more")
        if number > GREATEST:
            raise ValueError(f"is too large; give a whole number of {GREATEST} or less")
        return number

    return parse


def _one_of(choices: tuple[str, ...], noun: str) -> Callable[[str], str]:
    def parse(word: str) -> str:
        if word not in choices:
            raise ValueError(f"is no {noun}; {near(word, choices)}")
        return word

    return parse


def _switch(word: str) -> bool:
    switches = {"on": True, "true": True, "off": False, "false": False}
    if word.lower() not in switches:
        raise ValueError("give on, off, or both")
    return switches[word.lower()]


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
        metavar="NAME",
        help="what is trained: convnet, a torchvision classifier (resnet18, vit_b_16, ...), "
        "path/to/file.py:make or package.module:make",
    ),
    Axis(
        name="dataset",
        parse=_one_of((OWN_DATASET, *DATASETS), "data set"),
        default=(OWN_DATASET,),
        metavar="NAME",
        help=f"what it is trained on: {', '.join(DATASETS)}, or own (the workload's own)",
    ),
    Axis(
        name="loop",
        parse=_one_of(LOOPS, "loop"),
        default=("train",),
        metavar="NAME",
        help="train (the default), eval (evaluation mode under no_grad), or both",
    ),
    Axis(
        name="device",
        parse=_device,
        default=(EVERY_DEVICE,),
        metavar="DEVICE",
        help="cpu, cuda, cuda:1, mps, xpu",
    ),
    Axis(
        name="batch_size",
        parse=_whole_number(1, "a batch holds at least one sample"),
        default=(4, 32),
        metavar="N",
        help="samples in a batch",
    ),
    Axis(
        name="accumulate",
        parse=_whole_number(1, "a step has at least one backward pass"),
        default=(1,),
        metavar="N",
        help="backward passes to one step of the optimizer; gradients add up over N batches",
    ),
    Axis(
        name="num_workers",
        parse=_whole_number(0, "0 loads in the training process itself"),
        default=(0, 2),
        metavar="N",
        help="processes that load data; 0 loads in the training process itself",
    ),
    Axis(
        name="prefetch_factor",
        parse=_whole_number(1, "a worker keeps at least one batch ready"),
        default=(2,),
        metavar="N",
        help="batches that each loader worker keeps ready (default 2)",
    ),
    Axis(
        name="persistent_workers",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="keep loader workers from epoch to epoch: only the restart's time depends on it",
    ),
    Axis(
        name="pin_memory",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="load batches into page-locked memory, from which transfers are faster",
    ),
    Axis(
        name="non_blocking",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="do not wait for transfers to the device; needs --pin-memory on to take effect",
    ),
    Axis(
        name="compile",
        parse=_compile,
        default=("off", "default"),
        metavar="MODE",
        help=f"torch.compile: {', '.join(COMPILE_MODES)}, or backend:NAME",
    ),
    Axis(
        name="dynamic",
        parse=_one_of(DYNAMIC, "setting of torch.compile's dynamic"),
        default=("auto",),
        metavar="HOW",
        help="shapes that torch.compile takes as variable: on, off, or auto (the default)",
    ),
    Axis(
        name="precision",
        parse=_one_of(PRECISIONS, "precision"),
        default=("fp32",),
        metavar="NAME",
        help="fp32, tf32 (matrix products in TF32), bf16 or fp16 (autocast)",
    ),
    Axis(
        name="channels_last",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="keep images and convolutions' weights in memory with the channels last",
    ),
    Axis(
        name="optimizer",
        parse=_one_of(OPTIMIZERS, "implementation of an optimizer"),
        default=("own",),
        metavar="HOW",
        help="the optimizer's implementation: own (the workload's choice), plain (parameter by "
        "parameter), foreach, fused",
    ),
)
"""Every axis, in the order of `Case`'s fields and of a case's id."""

AXIS = {axis.name: axis for axis in AXES}
