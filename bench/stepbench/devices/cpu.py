"""The CPU."""

from typing import TYPE_CHECKING

from stepbench import machine
from stepbench.devices.accelerator import tf32_error
from stepbench.devices.clock import DeviceClock, HostClock
from stepbench.devices.kind import Gauge
from stepbench.errors import UnsupportedError
from stepbench_reports.schema.measurement import DevicePeak

if TYPE_CHECKING:
    from torch.profiler import ProfilerActivity


class CPU:
    """The CPU: always present; one device, whatever the number of cores."""

    name = "cpu"
    records_allocations = False

    def seems_present(self) -> bool:
        """Always true."""
        return True

    def model_name(self) -> str:
        """The processor's name."""
        return machine.cpu_name()

    def count(self) -> int:
        """Always 1."""
        return 1

    def absence_reason(self) -> str | None:
        """Always `None`: the CPU is never absent."""
        return None

    def select(self, index: int) -> None:
        """Does nothing: there is one CPU device."""

    def clock(self, device: str) -> DeviceClock:  # noqa: ARG002  # as DeviceKind
        """The host's clock."""
        return HostClock()

    def reset_peak_memory(self, device: str) -> None:
        """Does nothing: no peak is kept."""

    def peak_memory(self, device: str) -> DevicePeak:  # noqa: ARG002  # as DeviceKind
        """An empty peak: the host's memory is measured elsewhere."""
        return DevicePeak()

    def pinned_bytes(self) -> int | None:
        """Always `None`: nothing is transferred to the CPU, so no memory is page-locked for it."""
        return None

    def allocator_settings(self) -> str | None:
        """Always `None`: torch uses the system's allocator."""
        return None

    def gauge(self, device: str) -> Gauge | None:  # noqa: ARG002  # as DeviceKind
        """Always `None`: the CPU has no gauge."""
        return None

    def require_precision(self, precision: str, device: str) -> None:
        """Refuses TF32.

        Raises:
            UnsupportedError: The precision is TF32; the message gives the reason.
        """
        if precision == "tf32":
            raise tf32_error(device)

    def require_compiler(self) -> None:
        """Refuses `torch.compile` if there is no C++ compiler.

        Raises:
            UnsupportedError: There is none; the message says what to install.
        """
        from torch._inductor import cpp_builder, exc  # noqa: PLC0415  # slow to import

        try:
            cpp_builder.get_cpp_compiler()
        except exc.InvalidCxxCompiler:
            raise UnsupportedError(
                "compile",
                "on the CPU, torch.compile needs a C++ compiler, and there is none; install g++ "
                "(Debian: apt-get install g++), or set CXX, or use --compile off",
            ) from None

    def profiler_activity(self) -> "ProfilerActivity | None":
        """Always `None`: the profiler records the host's activity in any case."""
        return None
