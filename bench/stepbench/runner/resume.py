"""Resumes a run with the options of its first invocation, and refuses to change them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from msgspec import structs

from stepbench import machine
from stepbench.config.matrix import Matrix
from stepbench.config.option_definitions import OptionSection, options_in
from stepbench.config.options import Options
from stepbench.config.values import option_name
from stepbench.errors import UsageError
from stepbench.runner.foreign_code import refuse_foreign_workloads
from stepbench_reports.schema.axes import DEFAULTS, Axes
from stepbench_reports.schema.axis_labels import INFO
from stepbench_reports.schema.files import RUN
from stepbench_reports.schema.run import RunFacts


@dataclass(frozen=True)
class FixedPart:
    """A part of a run's options that resuming it cannot change.

    Attributes:
        words: The options that set the part, such as `batch_size`.
        value: Takes the part from a run's options.
        name: The name of the part, for the error message.
    """

    words: frozenset[str]
    value: Callable[[Options], object]
    name: str


FIXED_PARTS = (
    FixedPart(
        options_in(OptionSection.CASES),
        lambda options: options.matrix.cases,
        "cases",
    ),
    FixedPart(
        frozenset(
            {
                "steps",
                "generations",
                "max_time",
                "rel_error",
                "one_at_a_time",
                "sync_phases",
            }
        ),
        lambda options: structs.replace(options.sampling, deadline_s=0.0),
        "sampling options",
    ),
    FixedPart(
        options_in(OptionSection.SETTINGS),
        lambda options: options.settings,
        "settings",
    ),
    FixedPart(
        options_in(OptionSection.PARITY),
        lambda options: (options.parity, options.train_parity),
        "parity options",
    ),
    FixedPart(
        options_in(OptionSection.PROFILING),
        lambda options: options.profiling,
        "profiling options",
    ),
)
"""The parts that `--resume` may repeat, but not change."""
RELEASES = ("torch", "torchvision")
"""The packages whose releases `--resume` does not change."""


def adopt(options: Options, stored: RunFacts, path: Path, *, measured_here: bool = True) -> Options:
    """Takes over the options of the run that is resumed.

    Args:
        options: The options of this invocation.
        stored: The earlier run's facts.
        path: The earlier run's directory.
        measured_here: True if this machine measures; false if the nodes of a cluster do.

    Raises:
        UsageError: This invocation changes an option; the processor, or the release of torch or
            torchvision, differs; or the stored axes cannot be used.
    """
    adopted = stored_options(options, stored, path)
    new_options = replace(options, matrix=options.matrix.on(adopted.matrix.axes["device"]))
    for part in FIXED_PARTS:
        given = options.given & part.words
        if given and part.value(new_options) != part.value(adopted):
            names = ", ".join(option_name(word) for word in sorted(given))
            raise UsageError(
                f"--resume {path}: the run has other {part.name} ({stored.command}); leave out "
                f"{names} to resume it, or start a new run"
            )
    refuse_another_machine(stored, path, ("cpu", *RELEASES) if measured_here else RELEASES)
    if "workload" not in options.given:
        refuse_foreign_workloads(adopted.matrix.cases, path, RUN)
    return adopted


def refuse_cluster(stored: RunFacts, path: Path) -> None:
    """Refuses to measure the rest of a run on this machine whose other cases nodes have measured.

    Raises:
        UsageError: The run was spread over the nodes of a cluster.
    """
    if stored.cluster is not None:
        raise UsageError(
            f"--resume {path}: the nodes of a cluster have measured its cases; add --on "
            f"{stored.cluster.engine} to resume it there, or start a new run"
        )


def stored_options(options: Options, stored: RunFacts, path: Path) -> Options:
    """Returns the options of the earlier run, with this invocation's limits of time and memory.

    Args:
        options: The options of this invocation.
        stored: The earlier run's facts.
        path: The earlier run's directory, for the error message.

    Raises:
        UsageError: The stored axes cannot be used.
    """
    return replace(
        options,
        matrix=_matrix(stored, path),
        sampling=structs.replace(stored.sampling, deadline_s=options.deadline_s),
        settings=stored.settings,
        parity=stored.parity,
        train_parity=stored.train_parity,
        profiling=stored.profiling,
        cold=stored.cold,
        data_dir=None if stored.data_dir is None else Path(stored.data_dir),
    )


def _matrix(stored: RunFacts, path: Path) -> Matrix:
    """The matrix of the earlier run; an axis that is missing in its file has the default."""
    axes = {name: stored.axes.get(name) or (DEFAULTS.get(name),) for name in INFO}
    matrix = Matrix(axes, stored.include, stored.exclude)
    try:
        for case in matrix.cases:
            msgspec.convert(case.values(), Axes)
    except (msgspec.ValidationError, AttributeError, TypeError) as error:
        raise UsageError(
            f"--resume {path}: the axes in its {RUN} cannot be used ({error}); start a new run"
        ) from None
    return matrix


def refuse_another_machine(stored: RunFacts, path: Path, names: Sequence[str]) -> None:
    """Refuses to mix the figures of two processors or of two releases of a package.

    Args:
        stored: The earlier run's facts.
        path: The earlier run's directory.
        names: The names of what must be the same: `cpu`, or a package.

    Raises:
        UsageError: The processor or a release differs.
    """
    now = {"cpu": machine.cpu_name(), **machine.packages()}
    before = {"cpu": stored.machine and stored.machine.cpu, **stored.packages}
    changes = [
        f"{name} was {before.get(name)}, is {now.get(name)}"
        for name in names
        if before.get(name) != now.get(name)
    ]
    if changes:
        raise UsageError(
            f"--resume {path}: its results are not comparable with new ones "
            f"({'; '.join(changes)}); start a new run"
        )
