"""What bears upon every case of a run alike: threads, seed, and torch's own switches.

The parent reads and passes it; only a child applies it, and records what came of it.
"""

import os
import random
from dataclasses import dataclass
from typing import Any

ALLOCATOR_VARIABLE = "PYTORCH_ALLOC_CONF"
"""Where torch reads its device allocators' settings, when it first uses them."""
_CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True)
class Settings:
    """What a run sets; `None` leaves torch's own choice.

    Attributes:
        threads: That compute within an operator.
        interop_threads: That run operators side by side.
        seed: Of weights, shuffling and loader workers.
        cudnn_benchmark: Whether cuDNN tries its algorithms and keeps the fastest.
        deterministic: Whether only deterministic algorithms are used.
        allocator: Settings of the device's allocator, as `PYTORCH_ALLOC_CONF` takes them.
    """

    threads: int | None = None
    interop_threads: int | None = None
    seed: int = 0
    cudnn_benchmark: bool = False
    deterministic: bool = False
    allocator: str | None = None


def apply(settings: Settings) -> None:
    """Sets this process up; before it has touched a device or computed anything in parallel."""
    import numpy as np  # noqa: PLC0415  # the parent imports this module, and none of these
    import torch  # noqa: PLC0415

    if settings.allocator is not None:
        os.environ[ALLOCATOR_VARIABLE] = settings.allocator
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if settings.interop_threads is not None:
        torch.set_num_interop_threads(settings.interop_threads)
    torch.backends.cudnn.benchmark = settings.cudnn_benchmark
    if settings.deterministic:
        # cuBLAS is deterministic only with a workspace of fixed size, and reads this once.
        os.environ.setdefault(_CUBLAS_VARIABLE, ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    random.seed(settings.seed)
    np.random.seed(settings.seed)  # noqa: NPY002  # the generator that users' transforms draw from
    torch.manual_seed(settings.seed)


def record(settings: Settings) -> dict[str, Any]:
    """What is in force in this process."""
    import torch  # noqa: PLC0415

    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "seed": settings.seed,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "allocator": os.environ.get(ALLOCATOR_VARIABLE),
    }
