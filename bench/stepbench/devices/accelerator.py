"""Any accelerator that `torch.accelerator` reports; the base of the kinds with separate files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from stepbench.devices.clock import DeviceClock, EventClock
from stepbench.devices.kind import Gauge
from stepbench.errors import UnsupportedError
from stepbench_reports.schema.measurement import DevicePeak

if TYPE_CHECKING:
    from torch.profiler import ProfilerActivity


def tf32_error(device: str) -> UnsupportedError:
    """The error for a device that does not support TF32."""
    return UnsupportedError(
        "precision",
        f"{device} does not support TF32; it needs an NVIDIA GPU of compute capability 8.0",
    )


@dataclass(frozen=True)
class Accelerator:
    """A kind of accelerator, used through what torch offers for every device type.

    Attributes:
        name: The device type in torch, such as `cuda`.
    """

    name: str
    records_allocations: ClassVar[bool] = False

    def seems_present(self) -> bool:
        """Always false: such a device cannot be detected without torch."""
        return False

    def model_name(self) -> str:
        """The model name that torch gives, or else the name of the kind in upper case."""
        import torch  # noqa: PLC0415  # the parent imports this module, but never torch

        get_name = getattr(torch.get_device_module(self.name), "get_device_name", None)
        return str(get_name()) if get_name else self.name.upper()

    def count(self) -> int:
        """The number of devices of this kind."""
        import torch  # noqa: PLC0415

        return torch.accelerator.device_count()

    def absence_reason(self) -> str | None:
        """Always `None`: no reason is known."""
        return None

    def select(self, index: int) -> None:
        """Makes a device the current one, for code that names no device."""
        import torch  # noqa: PLC0415

        torch.accelerator.set_device_index(index)

    def clock(self, device: str) -> DeviceClock:
        """Makes a clock that reads timed events of the device."""
        return EventClock(device)

    def reset_peak_memory(self, device: str) -> None:
        """Does nothing: no peak is kept."""

    def peak_memory(self, device: str) -> DevicePeak:  # noqa: ARG002  # as DeviceKind
        """An empty peak: none is kept."""
        return DevicePeak()

    def pinned_bytes(self) -> int | None:
        """Always `None`: torch does not count it for every kind."""
        return None

    def allocator_settings(self) -> str | None:
        """Always `None`: no settings are known."""
        return None

    def gauge(self, device: str) -> Gauge | None:  # noqa: ARG002  # as DeviceKind
        """Always `None`: no gauge is known."""
        return None

    def require_precision(self, precision: str, device: str) -> None:
        """Refuses TF32.

        Raises:
            UnsupportedError: The precision is TF32; the message gives the reason.
        """
        if precision == "tf32":
            raise tf32_error(device)

    def require_compiler(self) -> None:
        """Does nothing: no requirement of `torch.compile` is known."""

    def profiler_activity(self) -> "ProfilerActivity | None":
        """Always `None`: only the host's activity is recorded."""
        return None


class MemoryTrackingAccelerator(Accelerator):
    """An accelerator whose allocator in torch records peak memory: CUDA, XPU."""

    def reset_peak_memory(self, device: str) -> None:
        """Resets a device's peak memory."""
        import torch  # noqa: PLC0415

        torch.get_device_module(device).reset_peak_memory_stats(torch.device(device))

    def peak_memory(self, device: str) -> DevicePeak:
        """The device's peak memory since the last reset, bytes."""
        import torch  # noqa: PLC0415

        module, torch_device = torch.get_device_module(device), torch.device(device)
        return DevicePeak(
            device_peak_allocated_bytes=module.max_memory_allocated(torch_device),
            device_peak_reserved_bytes=module.max_memory_reserved(torch_device),
        )

    def allocator_settings(self) -> str | None:
        """The settings of the allocator in force; `None` if torch does not tell (before 2.9)."""
        import torch  # noqa: PLC0415

        read = getattr(torch._C, "_accelerator_getAllocatorSettings", None)
        return None if read is None else str(read())
