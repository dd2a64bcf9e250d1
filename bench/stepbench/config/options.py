"""A run's options, parsed once from the command line into a frozen object."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stepbench.config.axes import AXES, EVERY_DEVICE
from stepbench.config.case import Case
from stepbench.config.cluster import ClusterOptions, read_cluster
from stepbench.config.matrix import Matrix, default_matrix
from stepbench.config.matrix_file import named_matrix
from stepbench.config.option_definitions import FLAGS
from stepbench.config.requests import Request
from stepbench.config.values import (
    count,
    duration,
    is_file,
    path,
    positive_share,
    shown,
    size,
    whole_number,
)
from stepbench.errors import UsageError
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.run import ParityOptions, ProfilingOptions, SamplingOptions, Settings

MAX_STEPS = 10_000_000
"""The largest number of steps of an option: a run directory holds several figures of each step."""
MAX_GENERATIONS = 10_000
MAX_COMPARED_STEPS = 10_000
"""The largest number of steps whose tensors are compared, or that are in a trace."""
MAX_THREADS = 1024
"""The largest number of threads; PyTorch starts all of them, and ends if it cannot."""
MAX_SEED = 4_000_000_000
"""The largest seed: NumPy's have 32 bits, and training parity counts up from the seed."""


@dataclass(frozen=True)
class Options:
    """The options of a run.

    Attributes:
        matrix: The cases to measure; their device may be `stepbench.config.axes.EVERY_DEVICE`.
        sampling: The limits of sampling a case, and the deadline of a case.
        settings: The settings of all cases: threads, seed and PyTorch's global settings.
        parity: The options of comparing tensors; `None` to compare none.
        train_parity: The options of comparing trained models; `None` to compare none.
        profiling: The options of profiling; `None` to profile nothing.
        cold: True to give each compiled case an empty compile cache.
        memory_limit_bytes: The host memory that a case's processes may use together; `None` for no
            limit.
        data_dir: The directory of real data; `None` for synthetic data.
        download: True if the published data set may be downloaded.
        output: The run's directory; `None` for a new one in `results/`.
        resume: The directory of the run to resume.
        given: The names of the options given on the command line, such as `batch_size`.
        cluster: The engine that spreads the cases over nodes; `None` to measure on this machine.
    """

    matrix: Matrix
    sampling: SamplingOptions
    settings: Settings
    parity: ParityOptions | None
    train_parity: TrainParityOptions | None
    profiling: ProfilingOptions | None
    cold: bool
    memory_limit_bytes: int | None
    data_dir: Path | None
    download: bool
    output: Path | None
    resume: Path | None
    given: frozenset[str]
    cluster: ClusterOptions | None = None

    @property
    def deadline_s(self) -> float:
        """The longest time without progress of a case, seconds."""
        return self.sampling.deadline_s

    def request(self, case: Case, compile_cache: Path) -> Request:
        """The request to a child process to measure a case.

        Args:
            case: The case; its device is a real one.
            compile_cache: The directory of the compiler's cache.
        """
        return Request(
            case=case,
            sampling=self.sampling,
            compile_cache=compile_cache,
            data_dir=self.data_dir,
            download=self.download,
            settings=self.settings,
        )


def read(parsed: Mapping[str, Any], directory: Path) -> Options:
    """Reads the options of a run, without importing torch.

    Args:
        parsed: The values of `FLAGS` by destination; a missing value counts as `None`.
        directory: The directory of `pyproject.toml` and of relative workload paths.

    Raises:
        UsageError: A value cannot be used.
    """
    value = {flag.name: parsed.get(flag.destination) for flag in FLAGS}
    given = frozenset(flag.key for flag in FLAGS if value[flag.name])
    base = (
        default_matrix()
        if value["--matrix"] is None
        else named_matrix(value["--matrix"], directory)
    )
    axes = {
        axis.name: axis.read(value[axis.flag] or ()) if axis.name in given else base.axes[axis.name]
        for axis in AXES
    }
    matrix = replace(base, axes=axes)
    for case in matrix.cases:  # raises if there are none
        _refuse_missing_file(case.workload, directory)
    refuse_output_with_resume(value)
    data_dir = path("--data-dir", value["--data-dir"])
    if data_dir is not None and not data_dir.is_dir() and not value["--download"]:
        raise UsageError(
            f"--data-dir {data_dir}: is not a directory; give an existing directory, add "
            f"--download to create it, or leave out --data-dir for generated data"
        )
    cluster = read_cluster(value["--on"], value["--on-option"], bool(value["--hosts-as-axis"]))
    if cluster is not None and value["--resume"] is None:
        _refuse_unnamed_device(cluster, matrix)
    return Options(
        matrix=matrix,
        sampling=_sampling(value),
        settings=_settings(value),
        parity=_parity(value),
        train_parity=_train_parity(value),
        profiling=_profiling(value),
        cold=bool(value["--cold"]),
        memory_limit_bytes=size("--memory-limit", value["--memory-limit"]),
        data_dir=data_dir,
        download=bool(value["--download"]),
        output=path("--output", value["--output"]),
        resume=path("--resume", value["--resume"]),
        given=given,
        cluster=cluster,
    )


def _refuse_unnamed_device(cluster: ClusterOptions, matrix: Matrix) -> None:
    """Refuses a matrix for all devices that are present, as the nodes' are not known here."""
    if EVERY_DEVICE in matrix.axes["device"]:
        raise UsageError(
            f"--on {cluster.engine}: this machine does not know which devices the nodes have; name "
            f"them, such as --device cuda"
        )


def refuse_output_with_resume(value: Mapping[str, Any]) -> None:
    """Refuses two directories for one run.

    Args:
        value: The values of options by name, such as `--output`.

    Raises:
        UsageError: Both options are given.
    """
    if value["--output"] is not None and value["--resume"] is not None:
        raise UsageError(
            "--output and --resume: a resumed run keeps its directory; leave out one of them"
        )


def _sampling(value: Mapping[str, Any]) -> SamplingOptions:
    defaults, steps = SamplingOptions(), value["--steps"]
    return SamplingOptions(
        steps=None if steps is None else count("--steps", steps, MAX_STEPS),
        generations=defaults.generations
        if value["--generations"] is None
        else count("--generations", value["--generations"], MAX_GENERATIONS),
        one_at_a_time=bool(value["--one-at-a-time"]),
        max_time_s=duration("--max-time", value["--max-time"], defaults.max_time_s),
        rel_error=positive_share("--rel-error", value["--rel-error"], defaults.rel_error),
        sync_phases=bool(value["--sync-phases"]),
        deadline_s=duration("--deadline", value["--deadline"], defaults.deadline_s),
    )


def _parity(value: Mapping[str, Any]) -> ParityOptions | None:
    steps, budget = value["--parity-steps"], value["--parity-budget"]
    if value["--no-parity"]:
        if steps is not None or budget is not None:
            raise UsageError(
                "--no-parity: cannot be combined with --parity-steps or --parity-budget; leave out "
                "one of them"
            )
        return None
    return ParityOptions(
        steps=ParityOptions().steps
        if steps is None
        else count("--parity-steps", steps, MAX_COMPARED_STEPS),
        budget_s=duration("--parity-budget", budget, ParityOptions().budget_s),
    )


def _train_parity(value: Mapping[str, Any]) -> TrainParityOptions | None:
    details = {name: value[name] for name in ("--train-steps", "--train-margin", "--train-budget")}
    if not value["--train-parity"]:
        unused = next((name for name, word in details.items() if word is not None), None)
        if unused is not None:
            raise UsageError(
                f"{unused} {shown(details[unused])}: takes effect only with --train-parity; "
                f"add --train-parity"
            )
        return None
    steps, margin, budget = details.values()
    return TrainParityOptions(
        steps=TrainParityOptions().steps
        if steps is None
        else count("--train-steps", steps, MAX_STEPS),
        margin=positive_share("--train-margin", margin, TrainParityOptions().margin),
        budget_s=duration("--train-budget", budget, TrainParityOptions().budget_s),
    )


def _profiling(value: Mapping[str, Any]) -> ProfilingOptions | None:
    steps = value["--profile-steps"]
    options = ("--profile-stack", "--profile-workers", "--memory-snapshot")
    if not value["--profile"]:
        unused = next((name for name in options if value[name]), None)
        if steps is not None:
            unused = f"--profile-steps {shown(steps)}"
        if unused is not None:
            raise UsageError(f"{unused}: takes effect only with --profile; add --profile")
        return None
    stack, workers, snapshot = (bool(value[name]) for name in options)
    return ProfilingOptions(
        steps=ProfilingOptions().steps
        if steps is None
        else count("--profile-steps", steps, MAX_COMPARED_STEPS),
        stack=stack,
        workers=workers,
        memory_snapshot=snapshot,
    )


def _settings(value: Mapping[str, Any]) -> Settings:
    counts = {
        option: None if value[option] is None else count(option, value[option], MAX_THREADS)
        for option in ("--threads", "--interop-threads")
    }
    allocator = value["--allocator"]
    if allocator is not None and not _ALLOCATOR.fullmatch(allocator):
        raise UsageError(
            f"--allocator {shown(allocator)}: give name:value pairs with commas between them, "
            f"such as expandable_segments:True,max_split_size_mb:128"
        )
    return Settings(
        threads=counts["--threads"],
        interop_threads=counts["--interop-threads"],
        seed=0 if value["--seed"] is None else _seed(value["--seed"]),
        cudnn_benchmark=bool(value["--cudnn-benchmark"]),
        deterministic=bool(value["--deterministic"]),
        allocator=allocator,
    )


def _seed(word: str) -> int:
    try:
        return whole_number(word, 0, MAX_SEED)
    except ValueError as error:
        raise UsageError(f"--seed {shown(word)}: {error}") from None


_ALLOCATOR = re.compile(r"\w+:[^,\0]+(,\w+:[^,\0]+)*")


def _refuse_missing_file(workload: str, directory: Path) -> None:
    file, colon, _ = workload.rpartition(":")
    if colon and file.endswith(".py") and not is_file(directory / file):
        names = [path.name for path in directory.glob("*.py")]
        matches = difflib.get_close_matches(Path(file).name, names, n=1)
        hint = f"did you mean {matches[0]}?" if matches else "give the path of a .py file"
        raise UsageError(f"--workload {shown(workload)}: there is no file {shown(file)}; {hint}")
