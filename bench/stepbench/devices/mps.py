"""MPS: the GPU of a Mac with Apple silicon."""

import platform

from stepbench.devices.accelerator import Accelerator
from stepbench.devices.clock import DeviceClock, EventClock


class MPSClock(EventClock):
    """A clock of MPS, where there is one device and `synchronize` takes none."""

    def synchronize(self) -> None:
        """Waits until all the queued work is done."""
        self._module.synchronize()


class MPS(Accelerator):
    """The GPU of a Mac with Apple silicon."""

    def seems_present(self) -> bool:
        """Tells if this is a Mac with Apple silicon."""
        return platform.system() == "Darwin" and platform.machine() == "arm64"

    def clock(self, device: str) -> DeviceClock:
        """A new clock that reads timed events of the device."""
        return MPSClock(device)
