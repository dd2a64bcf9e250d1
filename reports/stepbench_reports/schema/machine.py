"""Facts of a machine and an environment, in `run.json` and `check.json`."""

from msgspec import field

from stepbench_reports.schema.record import Bytes, Count, Record

Packages = dict[str, str]
"""Versions of the installed packages that bear upon the figures, by name."""


class MachineFacts(Record, frozen=True, kw_only=True):
    """The machine.

    Attributes:
        cpu: The processor's name.
        logical_cores: Logical cores; `None` where the system does not tell.
        physical_cores: Physical cores; `None` where the system does not tell.
        usable_cores: Cores that the run was allowed to use.
        memory_bytes: Its memory.
        system: The operating system and its release.
        python: The release of Python.
        devices: The devices that torch can use, with their names.
        host: Its name among others (`distributed` runs); `None` where there is only one.
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
    """What a device reaches at best, by this machine's own measure.

    Attributes:
        matmul_flops_per_s: Of a matrix product, by precision, 2 operations for a multiply-add;
            `None` where the device does not have the precision.
        copy_bytes_per_s: Of a copy within the device's memory, bytes read and written.
        decoded_images_per_s: JPEG files that one core decodes; `None` but for the CPU.
        threads: Threads that torch computes with on the host.
        measured: When, in UTC.
    """

    matmul_flops_per_s: dict[str, float | None]
    copy_bytes_per_s: float
    decoded_images_per_s: float | None
    threads: Count
    measured: str
