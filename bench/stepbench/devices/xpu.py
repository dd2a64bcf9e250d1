"""XPU: Intel's GPUs."""

from typing import TYPE_CHECKING

from stepbench.devices.accelerator import MemoryTrackingAccelerator

if TYPE_CHECKING:
    from torch.profiler import ProfilerActivity


class XPU(MemoryTrackingAccelerator):
    """Intel's GPUs."""

    def profiler_activity(self) -> "ProfilerActivity | None":
        """The activity of XPU: kernels and copies."""
        from torch.profiler import ProfilerActivity  # noqa: PLC0415

        return ProfilerActivity.XPU
