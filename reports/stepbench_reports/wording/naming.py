"""Cases in words: as in their ids, in the cells of a column, and as one would say them.

An axis at its default goes without saying, unless nothing else would be said of a case.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from stepbench_reports.analysis.comparison import EAGER

UNSAID: Mapping[str, Any] = {
    "loop": "train",
    "accumulate": 1,
    "prefetch_factor": 2,
    "persistent_workers": False,
    "pin_memory": False,
    "non_blocking": False,
    "dynamic": "auto",
    "channels_last": False,
    "optimizer": "own",
}
"""The axes whose default goes without saying, and that default."""


def workload_name(spec: str) -> str:
    """A workload's short name: `net` for `path/to/net.py:make` and for `package.net:make`."""
    place, colon, attribute = spec.rpartition(":")
    if not colon:
        return spec
    stem = PurePath(place).stem if place.endswith(".py") else place.rpartition(".")[2]
    return stem if attribute == "make" else f"{stem}.{attribute}"


@dataclass(frozen=True)
class _Words:
    """How an axis is put in words.

    Attributes:
        short: A value, as in a case's id.
        long: A value, as one would say it.
        head: The axis, as a column's head.
    """

    short: Callable[[Any], str]
    long: Callable[[Any], str]
    head: str


def _plain(name: str) -> _Words:
    head = name.replace("_", " ")
    return _Words(str, lambda value: f"{head} {value}", head)


def _switch(short: str, long: str, head: str) -> _Words:
    return _Words(
        lambda value: short if value else f"no-{short}",
        lambda value: long if value else f"no {long}",
        head,
    )


def _workers(value: object) -> str:
    return "1 worker" if value == 1 else f"{value} workers"


_SHAPES = {"auto": "shapes as torch decides", "on": "dynamic shapes", "off": "static shapes"}
_WORDS = {
    "workload": _Words(
        lambda value: workload_name(str(value)), lambda value: workload_name(str(value)), "workload"
    ),
    "dataset": _Words(
        str,
        lambda value: "its own data set" if value == "own" else f"data set {value}",
        "dataset",
    ),
    "loop": _Words(
        str, lambda value: {"train": "training", "eval": "evaluation"}.get(value, value), "loop"
    ),
    "device": _Words(str, str, "device"),
    "batch_size": _Words(
        lambda value: f"b{value}", lambda value: f"batch size {value}", "batch size"
    ),
    "accumulate": _Words(
        lambda value: f"acc{value}",
        lambda value: "1 batch a step" if value == 1 else f"{value} batches a step",
        "accumulate",
    ),
    "num_workers": _Words(lambda value: f"w{value}", _workers, "workers"),
    "prefetch_factor": _Words(
        lambda value: f"pf{value}", lambda value: f"prefetch factor {value}", "prefetch"
    ),
    "persistent_workers": _switch("persistent", "persistent workers", "persistent"),
    "pin_memory": _switch("pin", "pinned memory", "pinned"),
    "non_blocking": _switch("nonblocking", "non-blocking transfers", "non-blocking"),
    "compile": _Words(
        str,
        lambda value: "eager" if value == EAGER else f"torch.compile {value}",
        "compile",
    ),
    "dynamic": _Words(
        lambda value: {"on": "dynamic", "off": "static"}.get(value, f"{value}-shapes"),
        lambda value: _SHAPES.get(value, f"dynamic {value}"),
        "dynamic",
    ),
    "precision": _Words(str, str, "precision"),
    "channels_last": _switch("channels_last", "channels last", "channels last"),
    "optimizer": _Words(
        str,
        lambda value: "the workload's own optimizer" if value == "own" else f"{value} optimizer",
        "optimizer",
    ),
}


def _words(name: str) -> _Words:
    return _WORDS.get(name) or _plain(name)


def label(axes: Mapping[str, Any], names: Sequence[str]) -> str:
    """A case in the words of its id, on some axes only: `b32 w2 default`."""
    return " ".join(_words(name).short(axes[name]) for name in _said(axes, names))


def setting(axes: Mapping[str, Any], names: Sequence[str]) -> str:
    """A case in words, on some axes only: `batch size 32, 2 workers, torch.compile default`."""
    return ", ".join(_words(name).long(axes[name]) for name in _said(axes, names))


def beyond_default(axes: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Which of some axes need saying: those not at a default that goes without."""
    return [name for name in names if name in axes and axes[name] != UNSAID.get(name, _NOTHING)]


def _said(axes: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return beyond_default(axes, names) or [name for name in names if name in axes]


_NOTHING = object()


def cell(axes: Mapping[str, Any], name: str) -> str:
    """A case's value on one axis, for a column that names the axis."""
    value = axes.get(name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return workload_name(str(value)) if name == "workload" else str(value)


def head(name: str) -> str:
    """An axis, as a column's head."""
    return _words(name).head
