"""Resumes a run: takes over the options that it was begun with, and refuses to change them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from stepbench import machine
from stepbench.config.flags import OptionSection, words_of
from stepbench.config.matrix import Matrix
from stepbench.config.options import Options
from stepbench.config.requests import (
    ParityOptions,
    ProfilingOptions,
    Sampling,
    TrainParityOptions,
)
from stepbench.config.settings import Settings
from stepbench.config.values import option_name
from stepbench.errors import UsageError

PassOptions = TypeVar("PassOptions", ParityOptions, TrainParityOptions, ProfilingOptions)


@dataclass(frozen=True)
class FixedPart:
    """A part of a run's options that resuming it cannot change.

    Attributes:
        words: The options that set the part, such as `batch_size`.
        value: Takes the part from a run's options.
        refusal: A clause that says how the earlier run differs.
    """

    words: frozenset[str]
    value: Callable[[Options], object]
    refusal: str


FIXED_PARTS = (
    FixedPart(
        words_of(OptionSection.CASES),
        lambda options: options.matrix.cases,
        "it was run with another matrix",
    ),
    FixedPart(
        frozenset({"steps", "max_time", "rel_error", "sync_phases"}),
        lambda options: options.sampling,
        "its cases were sampled by another rule",
    ),
    FixedPart(
        words_of(OptionSection.SETTINGS),
        lambda options: options.settings,
        "it was run under other settings",
    ),
    FixedPart(
        words_of(OptionSection.PARITY),
        lambda options: (options.parity, options.train_parity),
        "its parity was judged otherwise",
    ),
    FixedPart(
        words_of(OptionSection.PROFILING),
        lambda options: options.profiling,
        "it was profiled otherwise, or not at all",
    ),
)
"""The parts that an invocation may repeat, and may not change."""


def adopt(options: Options, stored: Mapping[str, Any], path: Path) -> Options:
    """Takes over the options of the run that is resumed.

    Args:
        options: The options of this invocation.
        stored: The content of the earlier run's `run.json`.
        path: The earlier run's directory.

    Raises:
        UsageError: This invocation changes an option, or this is another machine.
    """
    earlier = _earlier(options, stored)
    here = replace(options, matrix=options.matrix.on(earlier.matrix.axes["device"]))
    for part in FIXED_PARTS:
        given = options.named & part.words
        if given and part.value(here) != part.value(earlier):
            names = ", ".join(option_name(word) for word in sorted(given))
            raise UsageError(
                f"--resume {path}: {part.refusal} ({stored['command']}); leave {names} out to "
                f"resume it, or begin a new run"
            )
    _refuse_another_machine(stored, path)
    return earlier


def _earlier(options: Options, stored: Mapping[str, Any]) -> Options:
    """The options of the earlier run, with this invocation's limits of time and memory."""
    sampling = {name: value for name, value in stored["sampling"].items() if name != "deadline_s"}
    return replace(
        options,
        matrix=Matrix(
            {name: tuple(values) for name, values in stored["axes"].items()},
            tuple(stored["include"]),
            tuple(stored["exclude"]),
        ),
        sampling=Sampling(**sampling),
        settings=Settings(**stored["settings"]),
        parity=_pass_options(ParityOptions, stored.get("parity")),
        train_parity=_pass_options(TrainParityOptions, stored.get("train_parity")),
        profiling=_pass_options(ProfilingOptions, stored.get("profiling")),
        cold=stored["cold"],
        data_dir=None if stored["data_dir"] is None else Path(stored["data_dir"]),
    )


def _pass_options(kind: type[PassOptions], stored: Mapping[str, Any] | None) -> PassOptions | None:
    """The options of a pass; `None` where the earlier run did not have it."""
    return None if stored is None else kind(**stored)


def _refuse_another_machine(stored: Mapping[str, Any], path: Path) -> None:
    """Refuses to mix the figures of two processors, or of two releases of torch."""
    here = {"cpu": machine.cpu_name(), **machine.packages()}
    there = {"cpu": stored["machine"]["cpu"], **stored["packages"]}
    differing = [
        f"{name} {there.get(name)} there, {here.get(name)} here"
        for name in ("cpu", "torch", "torchvision")
        if there.get(name) != here.get(name)
    ]
    if differing:
        raise UsageError(
            f"--resume {path}: figures of two kinds would be mixed ({'; '.join(differing)}); "
            f"begin a new run"
        )
