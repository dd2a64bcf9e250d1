"""What a child is asked to measure. Knows no torch, so that the parent can make it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.case import Case
from bench.settings import Settings
from bench.workload import SHIPPED, DataChoice


@dataclass(frozen=True)
class Sampling:
    """How long to sample.

    Attributes:
        steps: Exactly so many lapped steps; `None` goes by the other two.
        max_time_s: At most so long.
        rel_error: Until half the width of the median step's 95 % interval is at most this share
            of the median.
        sync_phases: Whether the device is waited for at every lap, which shows each phase's cost by
            itself, and takes away the overlap that training has.
    """

    steps: int | None = None
    max_time_s: float = 5.0
    rel_error: float = 0.01
    sync_phases: bool = False


@dataclass(frozen=True)
class Parity:
    """How a case's training is compared with what it should be.

    Attributes:
        steps: Over how many steps tensors are compared.
        budget_s: What that may take, compilation and the confirming of a departure apart.
    """

    steps: int = 5
    budget_s: float = 60.0


@dataclass(frozen=True)
class TrainParity:
    """How a case's trained model is compared with its eager twin's.

    Attributes:
        steps: How many steps each training has.
        margin: By how much test accuracies may differ, at most, to count as equivalent.
        budget_s: What the trainings of a case may take.
        least_seeds: How many seeds are trained at least.
        most_seeds: And at most.
    """

    steps: int = 8000
    margin: float = 0.01
    budget_s: float = 600.0
    least_seeds: int = 3
    most_seeds: int = 12


@dataclass(frozen=True)
class Request:
    """What to measure, and how.

    Attributes:
        case: The case; its device is a real one.
        sampling: How long.
        compile_cache: Where the compiler keeps its results.
        data_dir: Where real data lie.
        download: Whether the published data set may be fetched.
        settings: What bears upon every case alike.
        shipped: Where the shipped workloads lie.
    """

    case: Case
    sampling: Sampling
    compile_cache: Path
    data_dir: Path | None = None
    download: bool = False
    settings: Settings = field(default_factory=Settings)
    shipped: Path = SHIPPED

    @property
    def data(self) -> DataChoice:
        """The data that the case trains on."""
        return DataChoice(self.case.dataset, self.data_dir, self.download)


@dataclass(frozen=True)
class Profiling:
    """What to profile, apart from the timing.

    Attributes:
        steps: How many steps a trace has.
        stack: Whether Python's call stacks are recorded, and the modules.
        workers: Whether the loader's workers are looked into.
        memory_snapshot: Whether a CUDA device's allocations are recorded.
    """

    steps: int = 3
    stack: bool = False
    workers: bool = False
    memory_snapshot: bool = False


@dataclass(frozen=True)
class Figures:
    """What TensorBoard shows of what was measured.

    Attributes:
        laps_s: Seconds by phase, and of the step: those of the sampled steps, in order.
        samples_per_s: Of each bare block, in order.
        settings: The case's values on the axes, numbers and strings.
        choices: All values that the run's cases have on each of these.
        results: What cases are compared by, by name.
    """

    laps_s: Mapping[str, tuple[float, ...]]
    samples_per_s: tuple[float, ...]
    settings: Mapping[str, str | float]
    choices: Mapping[str, tuple[str | float, ...]]
    results: Mapping[str, float]


@dataclass(frozen=True)
class ProfileRequest:
    """What a child is asked to profile.

    Attributes:
        request: The case, and the settings that it runs under.
        profiling: How.
        figures: What was measured.
        trace: Where the trace goes as the profiler writes it.
        board: Where all that TensorBoard shows of the case goes: a directory of its own, which
            appears whole.
        snapshot: Where the memory snapshot goes.
        scratch: A directory for what is not complete yet, on the same disk.
    """

    request: Request
    profiling: Profiling
    figures: Figures
    trace: Path
    board: Path
    snapshot: Path
    scratch: Path


@dataclass(frozen=True)
class Examination:
    """Whether a case computes what it should: what to look at, and how far to go.

    Attributes:
        request: The case, and the settings that it runs under.
        parity: How.
        references: The directory that references are kept in.
    """

    request: Request
    parity: Parity
    references: Path
