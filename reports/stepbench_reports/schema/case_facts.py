"""Facts of what was measured: data, model, settings, clock."""

from typing import Literal

from stepbench_reports.schema.record import Count, Record, Seconds


class DataFacts(Record, frozen=True, kw_only=True):
    """The data that a case trained on.

    Attributes:
        name: The data set's name.
        origin: `generated` by stepbench, `real` (the published data set) or `user`.
        length: Items in the data set; `None` for a stream.
    """

    name: str
    origin: Literal["generated", "real", "user"]
    length: Count | None = None


class ModelFacts(Record, frozen=True, kw_only=True):
    """The model that was trained.

    Attributes:
        name: Its class.
        parameters: Numbers in all its parameters.
        trainable: Numbers in those that are trained.
    """

    name: str
    parameters: Count
    trainable: Count


class AppliedSettings(Record, frozen=True, kw_only=True):
    """The settings in force in the case's process.

    Attributes:
        threads: Threads that compute within an operator.
        interop_threads: Threads that run operators side by side.
        seed: The seed of weights, shuffling and loader workers.
        deterministic: True where only deterministic algorithms are used.
        float32_matmul_precision: As `torch.get_float32_matmul_precision` gives it.
        cudnn_benchmark: True where cuDNN tries its algorithms and keeps the fastest.
        allocator: `PYTORCH_ALLOC_CONF`; `None` where it is not set.
        sync_phases: True where the device was waited for at every lap (`--sync-phases`): laps are
            then each phase's cost by itself, by the host's clock.
    """

    threads: Count
    interop_threads: Count
    seed: Count
    deterministic: bool
    float32_matmul_precision: str
    cudnn_benchmark: bool
    allocator: str | None = None
    sync_phases: bool = False


class ClockFacts(Record, frozen=True, kw_only=True):
    """The clock that laps were read from.

    Attributes:
        name: What it is called.
        resolution_s: Its resolution in seconds.
    """

    name: str
    resolution_s: Seconds
