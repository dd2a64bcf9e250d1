"""Applies a run's settings to this process, and records those in force."""

import os
import random

import numpy as np
import torch

from stepbench.devices.kinds import kind_of
from stepbench.errors import UsageError
from stepbench_reports.schema.case_facts import AppliedSettings
from stepbench_reports.schema.run import Settings

_CUBLAS_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"


def apply(settings: Settings) -> None:
    """Sets up this process; to be called before any use of a device or parallel computation.

    The allocator's settings are in the environment of the server, which has imported torch.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    if settings.interop_threads is not None:
        torch.set_num_interop_threads(settings.interop_threads)
    torch.backends.cudnn.benchmark = settings.cudnn_benchmark
    if settings.deterministic:
        # cuBLAS is deterministic only with a workspace of fixed size, and reads the variable once.
        os.environ.setdefault(_CUBLAS_VARIABLE, ":4096:8")
    torch.use_deterministic_algorithms(settings.deterministic)
    seed_generators(settings.seed)


def seed_generators(seed: int) -> None:
    """Seeds the random numbers of Python, NumPy and torch, which users' transforms may draw."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # users' transforms use this generator
    torch.manual_seed(seed)


def check_allocator(settings: Settings, device: str) -> None:
    """Refuses a device whose allocator has other settings than those requested.

    Args:
        settings: The requested settings.
        device: The device, which has been used.

    Raises:
        UsageError: The allocator has other settings.
    """
    if settings.allocator is None:
        return
    in_force = kind_of(device).allocator_settings()
    if in_force is not None and in_force != settings.allocator:
        raise UsageError(
            f"--allocator {settings.allocator}: the allocator of {device} has "
            f"{f'the settings {in_force}' if in_force else 'no settings'}, since the workload or a "
            f"package sets them (in PYTORCH_ALLOC_CONF or PYTORCH_CUDA_ALLOC_CONF, or by a call); "
            f"remove that, or leave out --allocator"
        )


def record(settings: Settings, device: str, *, sync_phases: bool) -> AppliedSettings:
    """Records the settings in force in this process.

    Args:
        settings: The requested settings.
        device: The device of the case.
        sync_phases: True if the device is synchronized at every lap.
    """
    return AppliedSettings(
        threads=torch.get_num_threads(),
        interop_threads=torch.get_num_interop_threads(),
        seed=settings.seed,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        float32_matmul_precision=torch.get_float32_matmul_precision(),
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        allocator=kind_of(device).allocator_settings() or None,
        sync_phases=sync_phases,
    )
