"""The axes as command-line options: parsers, the values of the default matrix, and help texts.

`stepbench_reports.schema.axes` defines the rest of an axis: its default in a case, its label in an
id, and its wording in reports.
"""

import itertools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from stepbench.config.values import MAX_WHOLE_NUMBER, option_name, shown, whole_number
from stepbench.errors import UsageError, suggestion
from stepbench_reports.schema.text import encodable

MAX_LOADER_WORKERS = 1024
"""The largest number of loader workers, and of batches that each loads in advance."""
DATASETS = ("cifar10", "jpeg")
"""The names of data sets that `--dataset` accepts."""


EVERY_DEVICE = "all"
"""The placeholder for all devices that are present; `Matrix.on` replaces it."""
OWN_DATASET = "own"
"""The name for the data set that the workload itself defines."""
LOOPS = ("train", "eval")
SWITCH = ("on", "off")
DYNAMIC = ("auto", "on", "off")
COMPILE_MODES = ("off", "default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune", "backend:cudagraphs")
"""The values of `compile` with which torch records compiled code as CUDA graphs, on CUDA."""
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
OPTIMIZERS = ("own", "plain", "foreach", "fused")
SHIPPED_WORKLOADS = (
    "convnet",
    "mlp",
    "vit",
    "finetune",
    "segmentation",
    "gan",
    "gpt",
    "lstm",
    "shared_weights",
    "control_flow",
)
DEVICE_KINDS = ("cpu", "cuda", "mps", "xpu")


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
    choices: tuple[str, ...] = ()
    """The values that a shell completes; others may be valid, too."""

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
                raise UsageError(f"{self.flag} {shown(word)}: {error}") from None
        return tuple(dict.fromkeys(values))


def _split(word: object) -> list[str]:
    return [part.strip() for part in str(word).split(",") if part.strip()] or [""]


def _workload(word: str) -> str:
    if not word or word.startswith(":") or word.endswith(":"):
        raise ValueError("give a shipped name, path/to/file.py:make or package.module:make")
    if word.endswith(".py"):
        raise ValueError(f"name the function that makes the workload, such as {word}:make")
    if encodable(word) != word:
        raise ValueError("is not UTF-8; rename the file or its folder")
    return word


def _whole_number(
    minimum: int, reason: str, maximum: int = MAX_WHOLE_NUMBER
) -> Callable[[str], int]:
    return partial(whole_number, minimum=minimum, maximum=maximum, reason=reason)


def _one_of(choices: tuple[str, ...], noun: str) -> Callable[[str], str]:
    def parse(word: str) -> str:
        if word not in choices:
            raise ValueError(f"there is no such {noun}; {suggestion(word, choices)}")
        return word

    return parse


def _switch(word: str) -> bool:
    switches = {"on": True, "true": True, "off": False, "false": False}
    if word.lower() not in switches:
        raise ValueError("give on, off or both")
    return switches[word.lower()]


_INDEX = re.compile("[0-9]{1,4}")


def _device(word: str) -> str:
    kind, colon, index = word.partition(":")
    if not kind.isalpha() or (colon and not _INDEX.fullmatch(index)):
        raise ValueError("a device is written cpu, cuda, cuda:1, mps or xpu")
    return word


def _compile(word: str) -> str:
    if word.startswith("backend:") and len(word) > len("backend:"):
        return word
    if word not in COMPILE_MODES:
        hint = suggestion(word, COMPILE_MODES)
        raise ValueError(
            f"is not a mode of torch.compile; {hint}; for another backend, give backend:NAME"
        )
    return word


AXES: tuple[Axis, ...] = (
    Axis(
        name="workload",
        parse=_workload,
        default=("convnet",),
        metavar="NAME",
        help=f"the model and its training: a shipped workload ({', '.join(SHIPPED_WORKLOADS)}; "
        "default convnet), a torchvision classifier (resnet18, vit_b_16, ...), "
        "path/to/file.py:make or package.module:make",
        choices=SHIPPED_WORKLOADS,
    ),
    Axis(
        name="dataset",
        parse=_one_of((OWN_DATASET, *DATASETS), "data set"),
        default=(OWN_DATASET,),
        metavar="NAME",
        help="the data set: cifar10 (32-pixel images), jpeg (files that the DataLoader decodes) or "
        "own (the workload's choice, the default)",
        choices=(OWN_DATASET, *DATASETS),
    ),
    Axis(
        name="loop",
        parse=_one_of(LOOPS, "loop"),
        default=("train",),
        metavar="NAME",
        help="train (the default) or eval (model.eval() and torch.no_grad())",
        choices=LOOPS,
    ),
    Axis(
        name="device",
        parse=_device,
        default=(EVERY_DEVICE,),
        metavar="DEVICE",
        help="cpu, cuda, cuda:1, mps or xpu (default: all that are present)",
        choices=DEVICE_KINDS,
    ),
    Axis(
        name="batch_size",
        parse=_whole_number(1, "a batch holds at least one sample"),
        default=(4, 32),
        metavar="N",
        help="samples per batch (default 4 and 32)",
    ),
    Axis(
        name="accumulate",
        parse=_whole_number(1, "a step has at least one backward pass"),
        default=(1,),
        metavar="N",
        help="gradient accumulation: batches per optimizer step (default 1)",
    ),
    Axis(
        name="num_workers",
        parse=_whole_number(0, "0 loads data in the training process", maximum=MAX_LOADER_WORKERS),
        default=(0, 2),
        metavar="N",
        help="worker processes of the DataLoader; 0 loads data in the training process "
        "(default 0 and 2)",
    ),
    Axis(
        name="prefetch_factor",
        parse=_whole_number(
            1, "a worker loads at least one batch in advance", maximum=MAX_LOADER_WORKERS
        ),
        default=(2,),
        metavar="N",
        help="batches that each DataLoader worker loads in advance (default 2)",
    ),
    Axis(
        name="persistent_workers",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="keep DataLoader workers alive between epochs; shortens only the start of an epoch",
        choices=SWITCH,
    ),
    Axis(
        name="pin_memory",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="load batches into pinned (page-locked) memory, for faster transfers to a GPU",
        choices=SWITCH,
    ),
    Axis(
        name="non_blocking",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="transfer batches asynchronously; takes effect only with --pin-memory on",
        choices=SWITCH,
    ),
    Axis(
        name="compile",
        parse=_compile,
        default=("off", "default"),
        metavar="MODE",
        help=f"the mode of torch.compile: {', '.join(COMPILE_MODES)}, or backend:NAME "
        "(default: off and default)",
        choices=COMPILE_MODES,
    ),
    Axis(
        name="dynamic",
        parse=_one_of(DYNAMIC, "setting"),
        default=("auto",),
        metavar="NAME",
        help="dynamic shapes in torch.compile: on, off or auto (the default)",
        choices=DYNAMIC,
    ),
    Axis(
        name="precision",
        parse=_one_of(PRECISIONS, "precision"),
        default=("fp32",),
        metavar="NAME",
        help="fp32 (the default), tf32 (matrix multiplication in TF32), bf16 or fp16 (autocast)",
        choices=PRECISIONS,
    ),
    Axis(
        name="channels_last",
        parse=_switch,
        default=(False,),
        metavar="on|off",
        help="use the channels_last memory format for images and convolution weights",
        choices=SWITCH,
    ),
    Axis(
        name="optimizer",
        parse=_one_of(OPTIMIZERS, "optimizer implementation"),
        default=("own",),
        metavar="NAME",
        help="the optimizer's implementation: own (the workload's choice, the default), plain "
        "(a for-loop), foreach or fused",
        choices=OPTIMIZERS,
    ),
)
"""Every axis, in the order of `Case`'s fields and of a case's id."""

AXIS = {axis.name: axis for axis in AXES}
