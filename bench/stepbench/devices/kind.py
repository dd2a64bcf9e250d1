"""The protocol of a kind of device: all that stepbench needs of each kind."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stepbench_reports.schema.machine_use import ThrottlingSource
from stepbench_reports.schema.measurement import DevicePeak

if TYPE_CHECKING:
    from torch.profiler import ProfilerActivity

    from stepbench.devices.clock import DeviceClock


@dataclass(frozen=True)
class GaugeReading:
    """An accelerator's state during a block; each value is `None` if unknown.

    Attributes:
        clock_hz: The device's clock at the block's end, Hz.
        throttled: The reasons for which the device was throttled; `None` also if it was not.
        throttling_source: The source of `throttled`.
        processes: The number of processes of others on the device at the block's end.
    """

    clock_hz: float | None = None
    throttled: str | None = None
    throttling_source: ThrottlingSource | None = None
    processes: int | None = None


class Gauge(Protocol):
    """Reads the state of an accelerator at work."""

    def begin(self) -> None:
        """Starts to observe a block."""
        ...

    def end(self) -> GaugeReading:
        """Returns the device's state since the last call of `begin`."""
        ...


class DeviceKind(Protocol):
    """A kind of device, such as CUDA.

    Methods that take a device take the device's name in torch: `cuda`, `cuda:1`.
    """

    @property
    def name(self) -> str:
        """The device type in torch, such as `cuda`."""
        ...

    @property
    def records_allocations(self) -> bool:
        """True if torch can record each allocation on the device, for a memory snapshot."""
        ...

    def seems_present(self) -> bool:
        """True if this machine seems to have such a device; found without importing torch."""
        ...

    def model_name(self) -> str:
        """The device's model name."""
        ...

    def count(self) -> int:
        """The number of devices of this kind."""
        ...

    def absence_reason(self) -> str | None:
        """The reason why torch has no such device; `None` if unknown."""
        ...

    def select(self, index: int) -> None:
        """Makes a device the current one of its kind, for code that names no device."""
        ...

    def clock(self, device: str) -> "DeviceClock":
        """Makes a clock of a device."""
        ...

    def reset_peak_memory(self, device: str) -> None:
        """Resets a device's peak memory."""
        ...

    def peak_memory(self, device: str) -> DevicePeak:
        """The device's peak memory since the last reset, bytes; empty if not recorded."""
        ...

    def pinned_bytes(self) -> int | None:
        """The page-locked memory of the host that torch holds for this kind; `None` if unknown."""
        ...

    def allocator_settings(self) -> str | None:
        """The settings of the allocator in force in this process, as torch reads them back.

        Returns:
            The settings in the syntax of `PYTORCH_ALLOC_CONF`, empty if there are none; `None` if
            the allocator has no such settings, or if torch does not tell them.
        """
        ...

    def gauge(self, device: str) -> Gauge | None:
        """The gauge of a device; `None` if the device has none, or if the gauge is not usable."""
        ...

    def require_precision(self, precision: str, device: str) -> None:
        """Refuses a precision that a device does not support.

        Raises:
            UnsupportedError: The device lacks the precision; the message gives the reason.
        """
        ...

    def require_compiler(self) -> None:
        """Refuses `torch.compile` if a tool that the compiler needs is missing.

        Raises:
            UnsupportedError: A tool is missing; the message says what to install.
        """
        ...

    def profiler_activity(self) -> "ProfilerActivity | None":
        """The activity that `torch.profiler` records of the device besides the host's, if any."""
        ...
