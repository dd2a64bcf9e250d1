"""Requests that a child process measures, compares or profiles by; made without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepbench.config.case import Case
from stepbench_reports.schema.run import ParityOptions, ProfilingOptions, SamplingOptions, Settings


@dataclass(frozen=True)
class Request:
    """A case to build and measure. `stepbench.config.options.Options.request` makes it.

    Attributes:
        case: The case; its device is a real one.
        sampling: The rule by which sampling stops.
        compile_cache: The directory in which the compiler keeps its results.
        data_dir: The directory of real data; `None` for synthetic data.
        download: True where the published data set may be fetched.
        settings: Settings of all cases: threads, seed, torch's switches.
        shipped: The directory of the shipped workloads; `None` for stepbench's own.
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
    """The measured figures that TensorBoard shows of a case.

    Attributes:
        laps_s: Seconds of each sampled step, by phase and of the whole step, in order.
        samples_per_s: The throughput of each block of bare steps, in order.
        settings: The case's values on the axes, numbers and strings.
        choices: All values that the run's cases have on each of these axes.
        results: The figures that cases are compared by, by name.
    """

    laps_s: Mapping[str, tuple[float, ...]]
    samples_per_s: tuple[float, ...]
    settings: Mapping[str, str | float]
    choices: Mapping[str, tuple[str | float, ...]]
    results: Mapping[str, float]


@dataclass(frozen=True)
class ProfileRequest:
    """A case to profile.

    Attributes:
        request: The case, and the settings that it runs under.
        profiling: The parts of profiling.
        figures: The measured figures.
        trace: The file for the trace as the profiler writes it.
        board: The directory for all that TensorBoard shows of the case; it appears whole.
        snapshot: The file for the memory snapshot.
        scratch: A directory for unfinished files, on the same disk.
    """

    request: Request
    profiling: ProfilingOptions
    figures: Figures
    trace: Path
    board: Path
    snapshot: Path
    scratch: Path


@dataclass(frozen=True)
class Examination:
    """A case whose tensors are to be compared with the reference.

    Attributes:
        request: The case, and the settings that it runs under.
        parity: The extent of the comparison.
        references: The directory in which references are kept.
    """

    request: Request
    parity: ParityOptions
    references: Path
