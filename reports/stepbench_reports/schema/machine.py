"""Facts of a machine and an environment, in `run.json` and `check.json`."""

from msgspec import field

from stepbench_reports.schema.record import Bytes, Count, Record

Packages = dict[str, str]
"""Versions of the installed packages that affect the measurements, by name."""


class MachineFacts(Record, frozen=True, kw_only=True):
    """The machine.

    Attributes:
        cpu: The processor's name.
        logical_cores: The number of logical cores; `None` if the system does not report it.
        physical_cores: The number of physical cores; `None` if the system does not report it.
        usable_cores: The number of logical cores that the run was allowed to use.
        memory_bytes: The size of the main memory, bytes.
        system: The operating system and its release.
        python: The Python version.
        devices: The names of the devices that torch can use, by device.
        host: The machine's host name in a `distributed` run; `None` if there is only one machine.
    """

    cpu: str
    logical_cores: Count | None = None
    physical_cores: Count | None = None
    usable_cores: Count
    memory_bytes: Bytes
    system: str
    python: str
    devices: dict[str, str] = field(default_factory=dict)
    host: str | None = None


class MachinePeaks(Record, frozen=True, kw_only=True):
    """A device's peak throughput, measured on this machine.

    Attributes:
        matmul_flops_per_s: The throughput of a matrix product, FLOP/s, by precision; a
            multiply-add counts as 2 operations. `None` if the device lacks the precision.
        copy_bytes_per_s: The throughput of a copy within the device's memory, bytes/s; counts
            bytes read and bytes written.
        decoded_images_per_s: The number of JPEG files that one core decodes per second; `None`
            for devices other than the CPU.
        threads: The number of threads with which torch computes on the host.
        cache_bytes: The size of the last level of the caches that the host's usable cores have,
            bytes; `None` for devices other than the CPU, or if the system does not tell.
        measured: The time of the measurement, UTC.
    """

    matmul_flops_per_s: dict[str, float | None]
    copy_bytes_per_s: float
    decoded_images_per_s: float | None
    threads: Count
    cache_bytes: Bytes | None = None
    measured: str
