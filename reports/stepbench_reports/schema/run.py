"""`run.json`: what a run was asked to do, on which machine."""

from msgspec import field

from stepbench_reports.schema.machine import MachineFacts, MachinePeaks, Packages
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.record import Count, Positive, Record, Seconds, Share

Value = str | int | bool
"""A value of an axis."""


class SamplingOptions(Record, frozen=True, kw_only=True):
    """How long each case is sampled.

    Attributes:
        steps: Exactly so many lapped steps; `None` goes by the other two.
        max_time_s: Seconds at most.
        rel_error: Until half the width of the median step's 95 % interval is at most this share of
            the median.
        sync_phases: True waits for the device at every lap.
        deadline_s: Seconds after which a case is given up.
    """

    steps: Positive | None = None
    max_time_s: Seconds = 5.0
    rel_error: Share = 0.01
    sync_phases: bool = False
    deadline_s: Seconds = 300.0


class Settings(Record, frozen=True, kw_only=True):
    """Settings that hold for every case; `None` leaves torch's own choice.

    Attributes:
        threads: Threads that compute within an operator.
        interop_threads: Threads that run operators side by side.
        seed: The seed of weights, shuffling and loader workers.
        cudnn_benchmark: True lets cuDNN try its algorithms and keep the fastest.
        deterministic: True uses deterministic algorithms only.
        allocator: Settings of the device's allocator, as `PYTORCH_ALLOC_CONF` takes them.
    """

    threads: Positive | None = None
    interop_threads: Positive | None = None
    seed: Count = 0
    cudnn_benchmark: bool = False
    deterministic: bool = False
    allocator: str | None = None


class ParityOptions(Record, frozen=True, kw_only=True):
    """How tensors are compared.

    Attributes:
        steps: Training steps.
        budget_s: Seconds a case at most, compilation and the confirming of a mismatch apart.
    """

    steps: Positive = 5
    budget_s: Seconds = 60.0


class ProfilingOptions(Record, frozen=True, kw_only=True):
    """What is profiled.

    Attributes:
        steps: Steps of each trace.
        stack: True records call stacks and modules.
        workers: True times the parts of each loader worker's work.
        memory_snapshot: True records a CUDA device's allocations.
    """

    steps: Positive = 3
    stack: bool = False
    workers: bool = False
    memory_snapshot: bool = False


class ServerFacts(Record, frozen=True, kw_only=True):
    """The fork server.

    Attributes:
        import_s: Seconds that its imports took; `None` where children import by themselves.
    """

    import_s: Seconds | None = None


class RunFacts(Record, frozen=True, kw_only=True):
    """`run.json`.

    Attributes:
        schema: The version of the format.
        id: The run's name.
        started: When, in UTC.
        command: The command line.
        stepbench: The version of stepbench.
        axes: The values of each axis of the matrix.
        include: Cases that were added to the matrix: each names some axes.
        exclude: Cases that were left out of it: each names some axes.
        cases: The id of every case, in order; one without a file was not measured (yet).
        sampling: How long each case is sampled.
        settings: What was asked for; each case records what was in force.
        parity: How tensors are compared; `None` where they are not.
        train_parity: How trained models are compared; `None` where they are not.
        profiling: What is profiled; `None` where nothing is.
        cold: True where each compiled case has an empty compile cache of its own.
        data_dir: The directory of real data; `None` for data that stepbench generates.
        machine: The machine.
        ceilings: By device, what this machine reaches at best.
        packages: Versions of packages.
        server: The fork server.
    """

    schema: int
    id: str
    started: str
    command: str
    stepbench: str
    axes: dict[str, tuple[Value, ...]]
    include: tuple[dict[str, Value], ...] = ()
    exclude: tuple[dict[str, Value], ...] = ()
    cases: tuple[str, ...]
    sampling: SamplingOptions = SamplingOptions()
    settings: Settings = Settings()
    parity: ParityOptions | None = None
    train_parity: TrainParityOptions | None = None
    profiling: ProfilingOptions | None = None
    cold: bool = False
    data_dir: str | None = None
    machine: MachineFacts | None = None
    ceilings: dict[str, MachinePeaks] = field(default_factory=dict)
    packages: Packages = field(default_factory=dict)
    server: ServerFacts = ServerFacts()
