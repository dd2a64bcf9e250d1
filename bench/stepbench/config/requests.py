"""Requests that a child process measures, compares or profiles by; made without torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stepbench.config.case import Case
from stepbench.config.settings import Settings


@dataclass(frozen=True)
class Sampling:
    """The rule by which sampling stops.

    Attributes:
        steps: An exact number of lapped steps; `None` goes by `max_time_s` and `rel_error`.
        max_time_s: The longest that a case is sampled, seconds.
        rel_error: The precision at which sampling stops: half the width of the median step's 95 %
            interval, as a share of the median.
        sync_phases: True where the device is waited for at every lap. That shows each phase's cost
            by itself, and removes the overlap that training has.
    """

    steps: int | None = None
    max_time_s: float = 5.0
    rel_error: float = 0.01
    sync_phases: bool = False


@dataclass(frozen=True)
class ParityOptions:
    """The comparison of a case's tensors with the reference.

    Attributes:
        steps: The number of steps over which tensors are compared.
        budget_s: The longest that a comparison takes, seconds, not counting compilation and the
            confirmation of a mismatch.
    """

    steps: int = 5
    budget_s: float = 60.0


@dataclass(frozen=True)
class TrainParityOptions:
    """The comparison of a case's trained model with its eager twin's.

    Attributes:
        steps: The number of steps of each training.
        margin: The largest difference of test accuracies that counts as equivalent.
        budget_s: The longest that the trainings of a case take, seconds.
        least_seeds: The smallest number of seeds.
        most_seeds: The largest number of seeds.
    """

    steps: int = 8000
    margin: float = 0.01
    budget_s: float = 600.0
    least_seeds: int = 3
    most_seeds: int = 12


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
    sampling: Sampling
    compile_cache: Path
    data_dir: Path | None = None
    download: bool = False
    settings: Settings = field(default_factory=Settings)
    shipped: Path | None = None


@dataclass(frozen=True)
class ProfilingOptions:
    """The parts of profiling, which runs apart from the timing.

    Attributes:
        steps: The number of steps of a trace.
        stack: True where Python's call stacks and the modules are recorded.
        workers: True where the loader's workers are timed from within.
        memory_snapshot: True where a CUDA device's allocations are recorded.
    """

    steps: int = 3
    stack: bool = False
    workers: bool = False
    memory_snapshot: bool = False


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
