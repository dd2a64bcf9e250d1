"""`profiles/<id>.json`: the breakdown of a case's phases into operators."""

from msgspec import field

from stepbench_reports.schema.record import Bytes, Count, Record, Seconds


class TraceFacts(Record, frozen=True, kw_only=True):
    """A trace in `traces/`.

    Attributes:
        bytes: The size of the trace file, bytes.
        events: The number of events in the trace.
    """

    bytes: Bytes
    events: Count


class BoardFacts(Record, frozen=True, kw_only=True):
    """A case's directory in `tb/`, which TensorBoard reads.

    Attributes:
        bytes: The size of the directory, bytes.
        left_out: The reasons for which parts are missing, by TensorBoard tab or part.
    """

    bytes: Bytes
    left_out: dict[str, str] = field(default_factory=dict)


class OperatorRow(Record, frozen=True, kw_only=True):
    """An operator in a phase, summed over all profiled steps.

    Attributes:
        phase: The phase in which the operator was called.
        operator: The operator's name; `(outside operators)` stands for Python and waiting.
        shapes: The shapes of the operator's inputs; empty if they are not known.
        calls: The number of calls.
        host_self_s: The operator's self time on the host, seconds: excludes the operators that it
            calls.
        device_self_s: The operator's self time on the device, seconds: includes only the device
            work that it launches itself.
        allocated_bytes: The memory that the operator allocated itself, bytes, on all devices;
            memory that it freed again is not subtracted.
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
        steps: The number of profiled steps.
        step_s: The total duration of the profiled steps by the host's clock, seconds; profiling
            slows a step down.
        phase_s: The part of `step_s` spent in each phase, seconds.
        rows: Operators by phase, the longest first. On one thread, the operators' `host_self_s` in
            a phase add up to the phase.
        device_idle: By device, the share of time in which the device was idle, from the start of
            the first profiled step to the end of the last work; empty if no device was used.
        memory_peak_bytes: By device, the peak of allocated memory during the profiled steps, bytes;
            on the CPU, without memory that was allocated before these steps.
    """

    steps: Count
    step_s: Seconds
    phase_s: dict[str, Seconds]
    rows: tuple[OperatorRow, ...]
    device_idle: dict[str, float] = field(default_factory=dict)
    memory_peak_bytes: dict[str, Bytes] = field(default_factory=dict)


class Curves(Record, frozen=True, kw_only=True):
    """The curves of a short training that starts from the same weights in every case.

    Attributes:
        loss: The loss of each step, as long as the loss was finite.
        accuracy: Pairs of a number of steps taken and the metric per test sample after them; empty
            if the workload has no test data or no metric.
    """

    loss: tuple[float, ...]
    accuracy: tuple[tuple[Count, float], ...] = ()


class WorkerFacts(Record, frozen=True, kw_only=True):
    """The time that a loader worker spends on each part of its work, with no training running.

    Attributes:
        worker: The worker's number; 0 if the training process loads the data.
        batches: The number of batches that the worker made.
        samples: The number of samples in the worker's batches.
        elapsed_s: The time from the start of the first batch to the end of the last, seconds.
        seconds: The time of each part, seconds: `read` is the data set without its transforms, each
            transform has its name, `collate` makes batches, and `hand over` is the rest.
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
        board: The directory that TensorBoard reads.
        breakdown: Operators by phase.
        curves: The curves of a short training; `None` in evaluation.
        workers: The times of the loader's workers; `None` without `--profile-workers`.
        snapshot_bytes: The size of the memory snapshot, bytes; `None` if there is no snapshot.
        elapsed_s: The duration of profiling, seconds.
    """

    trace: TraceFacts
    board: BoardFacts
    breakdown: Breakdown
    curves: Curves | None = None
    workers: tuple[WorkerFacts, ...] | None = None
    snapshot_bytes: Bytes | None = None
    elapsed_s: Seconds = 0.0
