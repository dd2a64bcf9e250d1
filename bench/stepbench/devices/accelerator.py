"""Any accelerator that `torch.accelerator` reports; kinds of a file of their own build upon it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from stepbench.devices.clock import DeviceClock, EventClock
from stepbench.devices.kind import Gauge
from stepbench.errors import UnsupportedError
from stepbench_reports.schema.measurement import DevicePeak

if TYPE_CHECKING:
    from torch.profiler import ProfilerActivity


def lacks_tf32(device: str) -> UnsupportedError:
    """The refusal of TF32 by a device that does not have it."""
    return UnsupportedError(
        "precision", f"{device} has no TF32: that needs an NVIDIA GPU of compute capability 8.0"
    )


@dataclass(frozen=True)
class Accelerator:
    """A kind of accelerator, known by what `torch.accelerator` can do with any.

    Attributes:
        name: The kind, as torch writes it.
    """

    name: str
    records_allocations: ClassVar[bool] = False

    def seems_present(self) -> bool:
        """Always false: without torch, nothing is known of such a device."""
        return False

    def model_name(self) -> str:
        """The name that torch's module of the kind gives, or else the kind's."""
        import torch  # noqa: PLC0415  # the parent imports this module, and never torch

        named = getattr(torch.get_device_module(self.name), "get_device_name", None)
        return str(named()) if named else self.name.upper()

    def count(self) -> int:
        """The number of devices of this kind."""
        import torch  # noqa: PLC0415

        return torch.accelerator.device_count()

    def absence_reason(self) -> str | None:
        """No reason is known."""
        return None

    def select(self, index: int) -> None:
        """Makes a device the current one, for what asks for no device by name."""
        import torch  # noqa: PLC0415

        torch.accelerator.set_device_index(index)

    def clock(self, device: str) -> DeviceClock:
        """A new clock that reads timed events of the device."""
        return EventClock(device)

    def reset_peak_memory(self, device: str) -> None:
        """Nothing to forget: no peak is kept."""

    def peak_memory(self, device: str) -> DevicePeak:  # noqa: ARG002  # as DeviceKind
        """No peak: none is kept."""
        return DevicePeak()

    def gauge(self, device: str) -> Gauge | None:  # noqa: ARG002  # as DeviceKind
        """No gauge is known."""
        return None

    def require_precision(self, precision: str, device: str) -> None:
        """Refuses TF32.

        Raises:
            UnsupportedError: With the reason.
        """
        if precision == "tf32":
            raise lacks_tf32(device)

    def require_compiler(self) -> None:
        """Nothing is known to be needed."""

    def profiler_activity(self) -> "ProfilerActivity | None":
        """The host's side alone is recorded."""
        return None


class MemoryTrackingAccelerator(Accelerator):
    """An accelerator whose allocator in torch keeps its peak: CUDA, XPU."""

    def reset_peak_memory(self, device: str) -> None:
        """Forgets a device's peak memory so far."""
        import torch  # noqa: PLC0415

        torch.get_device_module(device).reset_peak_memory_stats(torch.device(device))

    def peak_memory(self, device: str) -> DevicePeak:
        """The device's peak memory since it was reset."""
        import torch  # noqa: PLC0415

        module, place = torch.get_device_module(device), torch.device(device)
        return DevicePeak(
            device_peak_allocated_bytes=module.max_memory_allocated(place),
            device_peak_reserved_bytes=module.max_memory_reserved(place),
        )
