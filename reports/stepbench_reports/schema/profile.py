"""`profiles/<id>.json`: where a case's time goes within its phases."""

from msgspec import field

from stepbench_reports.schema.record import Bytes, Count, Record, Seconds


class TraceFacts(Record, frozen=True, kw_only=True):
    """A trace in `traces/`.

    Attributes:
        bytes: Its size.
        events: How many events it holds.
    """

    bytes: Bytes
    events: Count


class BoardFacts(Record, frozen=True, kw_only=True):
    """A case's directory beneath `tb/`, which TensorBoard reads.

    Attributes:
        bytes: Its size.
        left_out: What is missing of it, and why, by tab or part.
    """

    bytes: Bytes
    left_out: dict[str, str] = field(default_factory=dict)


class OperatorRow(Record, frozen=True, kw_only=True):
    """An operator in a phase, over all the profiled steps.

    Attributes:
        phase: The phase in which it was called.
        operator: Its name; `(outside operators)` is Python, and waiting.
        shapes: Those of its inputs; empty where they are not known.
        calls: How often it was called.
        host_self_s: Seconds on the host without the operators that it called.
        device_self_s: Seconds of the work on the device that it asked for itself.
        allocated_bytes: What it allocated itself, on any device, freed again or not.
    """

    phase: str
    operator: str
    shapes: str
    calls: Count
    host_self_s: float
    device_self_s: float
    allocated_bytes: Bytes


class Breakdown(Record, frozen=True, kw_only=True):
    """Operators by phase.

    Attributes:
        steps: Steps that were profiled.
        step_s: Seconds that these took together, by the host's clock; profiling slows a step.
        phase_s: Each phase's part of that.
        rows: Operators by phase, the longest first. On one thread the host's seconds of a phase add
            up to the phase.
        device_idle: By device, the share of the time from the first profiled step's begin to the
            last work's end in which it had nothing to do; empty where none was at work.
        memory_peak_bytes: By device, the most that was allocated at once during the steps; what was
            there before them does not count on the CPU.
    """

    steps: Count
    step_s: Seconds
    phase_s: dict[str, Seconds]
    rows: tuple[OperatorRow, ...]
    device_idle: dict[str, float] = field(default_factory=dict)
    memory_peak_bytes: dict[str, Bytes] = field(default_factory=dict)


class Curves(Record, frozen=True, kw_only=True):
    """A short training from the weights that every case starts with.

    Attributes:
        loss: Of each step, as long as it was finite.
        accuracy: The metric per test sample, by the number of steps taken; empty where the workload
            has no test data or no metric.
    """

    loss: tuple[float, ...]
    accuracy: tuple[tuple[Count, float], ...] = ()


class WorkerFacts(Record, frozen=True, kw_only=True):
    """A loader worker's time, with nothing else running.

    Attributes:
        worker: Its number; 0 where the training process loads by itself.
        batches: Batches that it made.
        samples: Samples in these.
        elapsed_s: Seconds from when it began the first to when it had made the last.
        seconds: Each part's: `read` is the data set apart from its transforms, `hand over` the
            rest.
    """

    worker: Count
    batches: Count
    samples: Count
    elapsed_s: Seconds
    seconds: dict[str, float]


class ProfileFindings(Record, frozen=True, kw_only=True):
    """A case's profile.

    Attributes:
        trace: The trace.
        board: What TensorBoard reads.
        breakdown: Operators by phase.
        curves: A short training; `None` in evaluation.
        workers: The loader's workers; `None` without `--profile-workers`.
        snapshot_bytes: The size of the memory snapshot; `None` where there is none.
        elapsed_s: Seconds that profiling took.
    """

    trace: TraceFacts
    board: BoardFacts
    breakdown: Breakdown
    curves: Curves | None = None
    workers: tuple[WorkerFacts, ...] | None = None
    snapshot_bytes: Bytes | None = None
    elapsed_s: Seconds = 0.0
