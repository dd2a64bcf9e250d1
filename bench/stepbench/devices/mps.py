"""MPS: the GPU of a Mac with Apple silicon."""

import platform

from stepbench.devices.accelerator import Accelerator
from stepbench.devices.clock import DeviceClock, EventClock


class MPSClock(EventClock):
    """The clock of MPS, which has one device and times its default stream only.

    `synchronize` takes no device, and an event takes no stream. Torch refuses to record an event
    while another stream is current.
    """

    def synchronize(self) -> None:
        """Waits until the device has completed all queued work."""
        self._module.synchronize()

    def _stream(self) -> tuple[object, ...]:
        return ()


class MPS(Accelerator):
    """The GPU of a Mac with Apple silicon."""

    def seems_present(self) -> bool:
        """True if this machine is a Mac with Apple silicon."""
        return platform.system() == "Darwin" and platform.machine() == "arm64"

    def clock(self, device: str) -> DeviceClock:
        """Makes a clock that reads timed events of the device."""
        return MPSClock(device)
