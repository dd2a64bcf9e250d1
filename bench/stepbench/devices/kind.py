"""The protocol of a kind of device: all that stepbench asks of one."""

from typing import TYPE_CHECKING, Protocol

from stepbench_reports.schema.measurement import DevicePeak

if TYPE_CHECKING:
    from torch.profiler import ProfilerActivity

    from stepbench.devices.clock import DeviceClock


class Gauge(Protocol):
    """The state of an accelerator at work."""

    def read(self) -> tuple[float | None, str | None]:
        """The device's clock in Hz, and why it is throttled; `None` for what is not known."""
        ...


class DeviceKind(Protocol):
    """A kind of device, such as CUDA.

    Methods that take a device take its name as torch writes it: `cuda`, `cuda:1`.
    """

    @property
    def name(self) -> str:
        """The kind, as torch writes it."""
        ...

    @property
    def records_allocations(self) -> bool:
        """Tells if torch can record each allocation on the device, for a memory snapshot."""
        ...

    def seems_present(self) -> bool:
        """Tells if this machine seems to have such a device, without importing torch."""
        ...

    def model_name(self) -> str:
        """The name of the device's model."""
        ...

    def count(self) -> int:
        """The number of devices of this kind."""
        ...

    def absence_reason(self) -> str | None:
        """Gives the reason why torch has no such device, where it is known."""
        ...

    def select(self, index: int) -> None:
        """Makes a device the current one of its kind, for what asks for no device by name."""
        ...

    def clock(self, device: str) -> "DeviceClock":
        """A new clock of a device."""
        ...

    def reset_peak_memory(self, device: str) -> None:
        """Forgets a device's peak memory so far."""
        ...

    def peak_memory(self, device: str) -> DevicePeak:
        """The device's peak memory since it was reset."""
        ...

    def gauge(self, device: str) -> Gauge | None:
        """The gauge of a device; `None` where it has none, or where the gauge cannot be asked."""
        ...

    def require_precision(self, precision: str, device: str) -> None:
        """Refuses a precision that a device does not have.

        Raises:
            UnsupportedError: With the reason.
        """
        ...

    def require_compiler(self) -> None:
        """Refuses `torch.compile` where what its compiler needs is missing.

        Raises:
            UnsupportedError: With what to install.
        """
        ...

    def profiler_activity(self) -> "ProfilerActivity | None":
        """Gives what `torch.profiler` records of the device beside the host's side, if anything."""
        ...
