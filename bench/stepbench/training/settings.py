"""Applies a run's settings to this process, and records those in force."""

import os
import random

import numpy as np
import torch

from stepbench_reports.schema.case_facts import AppliedSettings
from stepbench_reports.schema.run import Settings

ALLOCATOR_VARIABLE = "PYTORCH_ALLOC_CONF"
"""The variable from which torch reads the settings of device allocators at their first use."""
_CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"


def apply(settings: Settings) -> None:
    """Sets up this process; to be called before any use of a device or parallel computation."""
    if settings.allocator is not None:
        os.environ[ALLOCATOR_VARIABLE] = settings.allocator
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if settings.interop_threads is not None:
        torch.set_num_interop_threads(settings.interop_threads)
    torch.backends.cudnn.benchmark = settings.cudnn_benchmark
    if settings.deterministic:
        # cuBLAS is deterministic only with a workspace of fixed size, and reads the variable once.
        os.environ.setdefault(_CUBLAS_VARIABLE, ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    random.seed(settings.seed)
    np.random.seed(settings.seed)  # noqa: NPY002  # users' transforms use this generator
    torch.manual_seed(settings.seed)


def record(settings: Settings, *, sync_phases: bool) -> AppliedSettings:
    """Records the settings in force in this process.

    Args:
        settings: The requested settings.
        sync_phases: True if the device is synchronized at every lap.
    """
    return AppliedSettings(
        threads=torch.get_num_threads(),
        interop_threads=torch.get_num_interop_threads(),
        seed=settings.seed,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        float32_matmul_precision=torch.get_float32_matmul_precision(),
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        allocator=os.environ.get(ALLOCATOR_VARIABLE),
        sync_phases=sync_phases,
    )
