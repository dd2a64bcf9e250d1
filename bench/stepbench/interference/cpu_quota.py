"""The CPU quota of this process's control group (cgroup), such as a container's limit.

Once the processes of a group have used up the quota of a period, the system stops all of them until
the next period begins.
"""

from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_V1_MOUNTS = ("cpu,cpuacct", "cpu", "cpuacct,cpu")


class CpuQuota:
    """Reads for how long the quota of this process's control group stopped its processes.

    A quota may be that of the group itself, or of one that it is a part of; all that this process
    can see are read.

    Args:
        membership: The file that names the process's groups, in the format of `/proc/PID/cgroup`.
        mount: The directory where the groups are mounted.
    """

    def __init__(self, membership: Path = _MEMBERSHIP, mount: Path = _MOUNT) -> None:
        self._files = [
            path
            for path in dict.fromkeys(path.resolve() for path in _files(membership, mount))
            if _stopped_s(path) is not None
        ]

    def stopped_s(self) -> float | None:
        """Returns the time for which the quota stopped the group since it began, seconds.

        The times of cores add up. `None` if the system does not tell.
        """
        times = [_stopped_s(path) for path in self._files]
        known = [time_s for time_s in times if time_s is not None]
        return sum(known) if known else None


def _files(membership: Path, mount: Path) -> Iterator[Path]:
    """The `cpu.stat` of each group that the process is in, whether there is such a file or not."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2
            roots = [mount, mount / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [mount / name for name in _V1_MOUNTS]
        else:
            continue
        for root in roots:
            # In a container the path may be that of the host, and the root is the group's own.
            relative = Path(group.lstrip("/"))
            yield from (root / part / "cpu.stat" for part in (relative, *relative.parents))


def _stopped_s(path: Path) -> float | None:
    """The time in a file `cpu.stat`: of version 2 in microseconds, of version 1 in nanoseconds."""
    try:
        values = dict(line.split() for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return None
    for name, per_second in (("throttled_usec", 1e6), ("throttled_time", 1e9)):
        if name in values:
            return int(values[name]) / per_second
    return None
