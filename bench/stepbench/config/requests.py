"""Requests to a child process to measure, compare or profile a case; torch is not needed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepbench.config.case import Case
from stepbench_reports.schema.run import ParityOptions, ProfilingOptions, SamplingOptions, Settings


@dataclass(frozen=True)
class Request:
    """A request to measure a case, made by `stepbench.config.options.Options.request`.

    Attributes:
        case: The case; its device is a real one.
        sampling: The limits of sampling.
        compile_cache: The directory of the compiler's cache.
        data_dir: The directory of real data; `None` for synthetic data.
        download: True if the published data set may be downloaded.
        settings: The settings of all cases: threads, seed and PyTorch's global settings.
        shipped: The directory of the shipped workloads; `None` for the installed stepbench's.
    """

    case: Case
    sampling: SamplingOptions
    compile_cache: Path
    data_dir: Path | None = None
    download: bool = False
    settings: Settings = field(default_factory=Settings)
    shipped: Path | None = None


@dataclass(frozen=True)
class Figures:
    """A case's measured figures, for TensorBoard.

    Attributes:
        laps_s: Seconds of each sampled step, by phase and of the whole step, in order.
        samples_per_s: The throughput of each block of steps of the plain loop, in order.
        settings: The case's values on the axes, as text.
        choices: All values of the run's cases on each of the axes in `settings`.
        results: The figures to compare cases by, by name.
    """

    laps_s: Mapping[str, tuple[float, ...]]
    samples_per_s: tuple[float, ...]
    settings: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]
    results: Mapping[str, float]


@dataclass(frozen=True)
class ProfileRequest:
    """A request to profile a case.

    Attributes:
        request: The case, and the settings that it runs under.
        profiling: The options of profiling.
        figures: The measured figures.
        trace: The file for the profiler's raw trace.
        tensorboard: The directory for the case's TensorBoard files; it is created atomically.
        snapshot: The file for the memory snapshot.
        scratch: A directory for unfinished files, on the same file system.
    """

    request: Request
    profiling: ProfilingOptions
    figures: Figures
    trace: Path
    tensorboard: Path
    snapshot: Path
    scratch: Path


@dataclass(frozen=True)
class ParityRequest:
    """A request to compare a case's tensors with the reference.

    Attributes:
        request: The case, and the settings that it runs under.
        parity: The number of steps and the time budget of the comparison.
        references: The directory that stores references.
    """

    request: Request
    parity: ParityOptions
    references: Path
