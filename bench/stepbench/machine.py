"""Facts about the machine."""

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil

from stepbench_reports.schema.machine import MachineFacts, Packages

PACKAGES = ("torch", "torchvision", "numpy", "triton", "pytest-benchmark", "stepbench")
"""The packages whose versions affect the measured figures."""
NODE = "STEPBENCH_NODE"
"""The environment variable with the name of the cluster's node, in a job on a cluster."""
_CORES = Path("/sys/devices/system/cpu")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def cpu_name() -> str:
    """The processor's model name, from `/proc/cpuinfo` if the file exists."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Counts the cores that this process may use; a container or `taskset` may allow fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_bytes(cores: Path = _CORES) -> int | None:
    """The size of the last level of the caches of all usable cores together, bytes.

    A cache that cores share counts once.

    Args:
        cores: The directory in which Linux describes the cores.

    Returns:
        The size; `None` if the system does not tell.
    """
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    caches: dict[str, int] = {}
    for core in usable:
        try:
            of_core = [_cache(path) for path in (cores / f"cpu{core}" / "cache").glob("index*")]
        except (OSError, ValueError, KeyError):
            return None
        if not of_core:
            return None
        _, shared, size_bytes = max(of_core)
        caches[shared] = size_bytes
    return sum(caches.values()) or None


def _cache(path: Path) -> tuple[int, str, int]:
    """A cache's level, the cores that share it, and its size in bytes."""
    level, shared, size = (
        (path / name).read_text().strip() for name in ("level", "shared_cpu_list", "size")
    )
    return int(level), shared, int(size[:-1]) * _UNITS[size[-1]]


def machine_facts(devices: Mapping[str, str] | None = None) -> MachineFacts:
    """Collects the facts about the machine that the reports show.

    Args:
        devices: The devices that torch can use, with their names.
    """
    return MachineFacts(
        cpu=cpu_name(),
        logical_cores=psutil.cpu_count(),
        physical_cores=psutil.cpu_count(logical=False),
        usable_cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        devices=dict(devices or {}),
    )


def own_version() -> str:
    """Stepbench's version; `from source` if it is found by its path and not installed."""
    try:
        return metadata.version("stepbench")
    except metadata.PackageNotFoundError:
        return "from source"


def packages() -> Packages:
    """The versions of the installed packages among `PACKAGES`."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
