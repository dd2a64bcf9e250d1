"""`run.json`: the options of a run, and the machine on which it ran."""

import shlex

from msgspec import field

from stepbench_reports.schema.machine import MachineFacts, MachinePeaks, Packages
from stepbench_reports.schema.names import CaseId
from stepbench_reports.schema.parity import TrainParityOptions
from stepbench_reports.schema.record import Count, Positive, Record, Seconds, Share

Value = str | int | bool
"""A value of an axis."""


class SamplingOptions(Record, frozen=True, kw_only=True):
    """The length and precision of each case's sampling.

    Attributes:
        steps: The exact number of lapped steps, in a single generation; `None` to sample for as
            many generations as `rel_error` needs, or until `max_time_s` is over.
        generations: The number of generations before their precision is looked at.
        max_time_s: The time of sampling for each case, seconds, with the start of its processes
            and without the first compilation.
        rel_error: The target for half the width of the 95 % confidence interval of each comparison,
            as a share.
        one_at_a_time: True measures each case without other cases beside it.
        sync_phases: True synchronizes the device at every lap.
        deadline_s: The longest time without progress of a case, seconds; it then ends as `timeout`.
    """

    steps: Positive | None = None
    generations: Positive = 6
    max_time_s: Seconds = 20.0
    rel_error: Share = 0.02
    one_at_a_time: bool = False
    sync_phases: bool = False
    deadline_s: Seconds = 300.0


class Settings(Record, frozen=True, kw_only=True):
    """Settings that apply to every case. A `null` setting keeps torch's default.

    Attributes:
        threads: The number of intra-op threads, which compute within an operator.
        interop_threads: The number of inter-op threads, which run operators in parallel.
        seed: The seed of weights, shuffling and loader workers.
        cudnn_benchmark: True lets cuDNN benchmark its algorithms and use the fastest.
        deterministic: True uses only deterministic algorithms.
        allocator: Settings of the device's allocator, in the syntax of `PYTORCH_ALLOC_CONF`.
    """

    threads: Positive | None = None
    interop_threads: Positive | None = None
    seed: Count = 0
    cudnn_benchmark: bool = False
    deterministic: bool = False
    allocator: str | None = None


class ParityOptions(Record, frozen=True, kw_only=True):
    """The options of the parity check, which compares a case's tensors with a reference.

    Attributes:
        steps: The number of training steps that are compared.
        budget_s: The maximum time per case, seconds, without compilation and the confirmation of a
            mismatch.
    """

    steps: Positive = 5
    budget_s: Seconds = 60.0


class ProfilingOptions(Record, frozen=True, kw_only=True):
    """The options of profiling.

    Attributes:
        steps: The number of steps in each trace.
        stack: True records call stacks and modules.
        workers: True measures the time of each part of a loader worker's work.
        memory_snapshot: True records a memory snapshot of a CUDA device's allocations.
    """

    steps: Positive = 3
    stack: bool = False
    workers: bool = False
    memory_snapshot: bool = False


class ServerFacts(Record, frozen=True, kw_only=True):
    """The fork server, which starts each case's process.

    Attributes:
        import_s: The duration of the server's imports, seconds; `None` if each child process
            imports its modules itself.
    """

    import_s: Seconds | None = None


class ClusterFacts(Record, frozen=True, kw_only=True):
    """The cluster over whose nodes a run was spread.

    Attributes:
        engine: The engine: `slurm`, `ray` or `local`.
        options: The options of the engine, from `--on-option`.
        hosts_as_axis: True if all cases are measured on each node.
        nodes: The nodes of `hosts_as_axis`, in order; the first one's measurements are those in
            `cases/`. Empty if the cases are spread.
    """

    engine: str
    options: dict[str, str] = field(default_factory=dict)
    hosts_as_axis: bool = False
    nodes: tuple[str, ...] = ()


class RunFacts(Record, frozen=True, kw_only=True):
    """`run.json`: the cases and options of a run, and the machine on which it ran.

    Attributes:
        schema: The version of the format.
        id: The run's name.
        started: The start time, UTC.
        command: The command line.
        stepbench: The version of stepbench.
        axes: The values of each axis of the matrix.
        include: Cases that were added to the matrix; each entry gives values on some axes.
        exclude: Cases that were left out of the matrix; each entry gives values on some axes.
        cases: The id of every case, in order. A case without a file has not been measured.
        sampling: The length and precision of each case's sampling.
        settings: The requested settings; each case's file records the settings in force.
        allocator_environment: The environment variables of the command that set the allocator,
            such as `PYTORCH_ALLOC_CONF`; `--allocator` overrides them.
        parity: The options of the parity check; `None` if tensors are not compared.
        train_parity: The options of `--train-parity`; `None` if trained models are not compared.
        profiling: The options of profiling; `None` if cases are not profiled.
        cold: True if each compiled case has a separate, empty compile cache.
        data_dir: The directory of real data; `None` for data that stepbench generates.
        machine: The machine on which the run ran; `None` if it ran on several.
        machine_peaks: This machine's peak throughput, by device.
        peaks_s: The time in which the peak throughput was measured, or read from the cache,
            seconds; `None` if unknown.
        packages: Versions of the installed packages that affect the measurements, by name.
        server: The fork server.
        cluster: The cluster; `None` if the run measured on the machine of the command.
    """

    schema: int
    id: str
    started: str
    command: str
    stepbench: str
    axes: dict[str, tuple[Value, ...]]
    include: tuple[dict[str, Value], ...] = ()
    exclude: tuple[dict[str, Value], ...] = ()
    cases: tuple[CaseId, ...]
    sampling: SamplingOptions = SamplingOptions()
    settings: Settings = Settings()
    allocator_environment: dict[str, str] = field(default_factory=dict)
    parity: ParityOptions | None = None
    train_parity: TrainParityOptions | None = None
    profiling: ProfilingOptions | None = None
    cold: bool = False
    data_dir: str | None = None
    machine: MachineFacts | None = None
    machine_peaks: dict[str, MachinePeaks] = field(default_factory=dict)
    peaks_s: Seconds | None = None
    packages: Packages = field(default_factory=dict)
    server: ServerFacts = ServerFacts()
    cluster: ClusterFacts | None = None

    @property
    def command_words(self) -> tuple[str, ...]:
        """The words of the command line; none if it is not one, as in a damaged file."""
        try:
            return tuple(shlex.split(self.command))
        except ValueError:  # a quotation without an end
            return ()
