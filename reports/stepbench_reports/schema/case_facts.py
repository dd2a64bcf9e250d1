"""Facts of a measured case: data, model, settings, clock."""

from typing import Literal

from stepbench_reports.schema.record import Bytes, Count, Record, Seconds


class DataFacts(Record, frozen=True, kw_only=True):
    """The data that a case trained on.

    Attributes:
        name: The data set's name.
        origin: `generated` by stepbench, `real` (the published data set) or `user`.
        length: The number of items in the data set; `None` for a stream.
    """

    name: str
    origin: Literal["generated", "real", "user"]
    length: Count | None = None


class ModelFacts(Record, frozen=True, kw_only=True):
    """The model that was trained.

    Attributes:
        name: The model's class.
        parameters: The number of elements in all parameters.
        trainable: The number of elements in the parameters that are trained.
        parameter_bytes: The size of all parameters, bytes; `None` if unknown.
        trainable_bytes: The size of the parameters that are trained, bytes, which is also that of
            their gradients; `None` if unknown.
        optimizer_bytes: The size of the optimizers' state after the steps, bytes: moments and
            counts, without parameters and gradients; `None` if unknown.
    """

    name: str
    parameters: Count
    trainable: Count
    parameter_bytes: Bytes | None = None
    trainable_bytes: Bytes | None = None
    optimizer_bytes: Bytes | None = None


class AppliedSettings(Record, frozen=True, kw_only=True):
    """The settings in force in the case's process.

    Attributes:
        threads: The number of intra-op threads, which compute within an operator.
        interop_threads: The number of inter-op threads, which run operators in parallel.
        seed: The seed of weights, shuffling and loader workers.
        deterministic: True if only deterministic algorithms are used.
        float32_matmul_precision: The value of `torch.get_float32_matmul_precision`.
        cudnn_benchmark: True if cuDNN benchmarks its algorithms and uses the fastest.
        allocator: The settings of the device's allocator, as torch reads them back, in the syntax
            of `PYTORCH_ALLOC_CONF`; `None` if there are none, or if torch does not tell them.
        sync_phases: True if the device was synchronized at every lap (`--sync-phases`): each lap
            is then the cost of one phase alone, by the host's clock.
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
    """The clock that measured the laps.

    Attributes:
        name: The clock's name.
        resolution_s: The clock's resolution, seconds.
    """

    name: str
    resolution_s: Seconds
