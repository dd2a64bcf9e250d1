"""Settings of all cases of a run: threads, seed, torch's switches."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Settings of all cases of a run; `None` leaves torch's default.

    Attributes:
        threads: Threads that compute within an operator.
        interop_threads: Threads that run operators side by side.
        seed: The seed of weights, shuffling and loader workers.
        cudnn_benchmark: True where cuDNN tries its algorithms and keeps the fastest.
        deterministic: True where only deterministic algorithms are used.
        allocator: Settings of the device's allocator, as `PYTORCH_ALLOC_CONF` takes them.
    """

    threads: int | None = None
    interop_threads: int | None = None
    seed: int = 0
    cudnn_benchmark: bool = False
    deterministic: bool = False
    allocator: str | None = None
