"""Checks of the operating system: cores, quota, shared memory, energy counters, network."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from stepbench import machine
from stepbench.doctor.diagnosis import Ability, Diagnosis

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # its size is asked, nothing is written
MIN_SHARED_BYTES = 2**30
"""The size of shared memory from which batches of loader workers usually fit."""
ENERGY_COUNTERS = Path("/sys/class/powercap")
SCRIPT_HOSTS = ("www.gstatic.com", "cdnjs.cloudflare.com")
"""The hosts whose scripts the pages of torch-tb-profiler load."""
CONNECT_TIMEOUT_S = 3.0


def check_cores() -> Diagnosis:
    """Checks the number of cores, and a container's quota."""
    return cores(machine.usable_cores(), psutil.cpu_count() or 1, cpu_quota(OWN_CGROUP, CGROUPS))


def cores(usable: int, present: int, quota: float | None) -> Diagnosis:
    """Diagnoses the cores that this process may use.

    Args:
        usable: The number of cores that this process may use.
        present: The number of logical cores of the machine.
        quota: The container's quota, in cores; `None` for none.
    """
    counted = f"{_counted(usable)} of {present}" if usable < present else _counted(usable)
    if quota is not None and quota < usable:
        return Diagnosis(
            "cores",
            Ability.LIMITED,
            f"{counted}, but a container's quota of {quota:g}: the system stops threads for parts "
            f"of a period, and steps of the same work differ.",
            f"Give the container whole cores (docker run --cpuset-cpus), or use --threads "
            f"{max(1, int(quota))}.",
        )
    if usable == 1:
        return Diagnosis(
            "cores",
            Ability.LIMITED,
            f"{counted}: loader workers and other processes take it from the training step.",
            "Measure with --num-workers 0.",
        )
    return Diagnosis("cores", Ability.OK, f"{counted}, without a quota.")


def _counted(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"


def cpu_quota(own_cgroup: Path, cgroups: Path) -> float | None:
    """The quota of CPU time of this process's control groups, in cores; `None` for none.

    Args:
        own_cgroup: The file that names this process's groups, `/proc/self/cgroup`.
        cgroups: The directory of all groups, `/sys/fs/cgroup`.
    """
    try:
        lines = own_cgroup.read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            quotas += [_quota_v2(group) for group in _group_and_parents(cgroups, path)]
        elif "cpu" in controllers.split(","):
            root = cgroups / "cpu"
            quotas += [_quota_v1(group) for group in _group_and_parents(root, path)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _group_and_parents(root: Path, path: str) -> Iterator[Path]:
    """The directories of a group and its parents; a container may see the root alone."""
    group = Path(path.lstrip("/"))
    yield from (root / part for part in (group, *group.parents))


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # "max" is no quota
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None


def check_shared_memory() -> Diagnosis:
    """Checks the size of shared memory, through which loader workers send batches."""
    if not SHARED_MEMORY.is_dir():
        return Diagnosis("shared memory", Ability.OK, "The system sets no size for it.")
    size = shutil.disk_usage(SHARED_MEMORY)
    return shared_memory(size.total, size.free)


def shared_memory(total_bytes: int, free_bytes: int) -> Diagnosis:
    """Diagnoses the size of `/dev/shm`."""
    found = f"{SHARED_MEMORY} has {_size(total_bytes)}, {_size(free_bytes)} free"
    if free_bytes >= MIN_SHARED_BYTES:
        return Diagnosis("shared memory", Ability.OK, f"{found}.")
    return Diagnosis(
        "shared memory",
        Ability.LIMITED,
        f"{found}: loader workers send batches through it, and die if it is full.",
        "Start the container with --shm-size=8g or --ipc=host, or use --num-workers 0.",
    )


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes >> 20} MiB"


def check_energy(counters: Path = ENERGY_COUNTERS) -> Diagnosis:
    """Checks that the processor's energy counters (RAPL) can be read."""
    files = sorted(counters.glob("intel-rapl:*/energy_uj"))
    if not files:
        return Diagnosis(
            "energy (RAPL)",
            Ability.MISSING,
            "The processor shows no energy counters, as in most virtual machines.",
        )
    if not os.access(files[0], os.R_OK):
        return Diagnosis(
            "energy (RAPL)",
            Ability.LIMITED,
            f"Only root may read {files[0]}.",
            f"sudo chmod a+r {counters}/intel-rapl:*/energy_uj (until the next start).",
        )
    return Diagnosis("energy (RAPL)", Ability.OK, f"{files[0]} can be read.")


def check_tensorboard(hosts: tuple[str, ...] = SCRIPT_HOSTS, port: int = 443) -> Diagnosis:
    """Checks that the hosts of the scripts that TensorBoard's profiler page loads are reachable."""
    unreachable = [host for host in hosts if not _reachable(host, port)]
    if not unreachable:
        return Diagnosis("TensorBoard", Ability.OK, "All pages of the profiler's tab can be shown.")
    return Diagnosis(
        "TensorBoard",
        Ability.LIMITED,
        f"{' and '.join(unreachable)} cannot be reached: the tab PyTorch Profiler loads scripts "
        f"from there, and never finishes loading. The other tabs work.",
        "Open the files in the run's traces/ in Perfetto or chrome://tracing.",
    )


def _reachable(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False
