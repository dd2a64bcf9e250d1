"""CUDA devices: NVIDIA's GPUs."""

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, ClassVar

from stepbench.devices.accelerator import MemoryTrackingAccelerator, tf32_error
from stepbench.devices.kind import Gauge
from stepbench.devices.nvidia_gauge import NvidiaGauge
from stepbench.errors import UnsupportedError

if TYPE_CHECKING:
    from torch.profiler import ProfilerActivity


class CUDA(MemoryTrackingAccelerator):
    """CUDA devices."""

    records_allocations: ClassVar[bool] = True

    def seems_present(self) -> bool:
        """True if `nvidia-smi` lists a GPU, and `CUDA_VISIBLE_DEVICES` does not hide them all."""
        if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
            return False
        tool = shutil.which("nvidia-smi")
        if tool is None:
            return False
        listing = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
        return listing.returncode == 0 and "GPU" in listing.stdout

    def absence_reason(self) -> str | None:
        """The reason if the installed torch is built without CUDA; else `None`."""
        import torch  # noqa: PLC0415  # the parent imports this module, but never torch

        return None if torch.version.cuda else "the installed torch is built without CUDA"

    def pinned_bytes(self) -> int | None:
        """The memory that torch's allocator of page-locked memory holds, in use or cached, bytes.

        `None` if the installed torch does not count it (before 2.7), or has not used CUDA.
        """
        import torch  # noqa: PLC0415

        read = getattr(torch.cuda, "host_memory_stats", None)
        stats = read() if read is not None else {}
        # In torch 2.7, `allocated_bytes` is the part in use; `reserved_bytes` is gone since.
        held = stats.get("reserved_bytes.current", stats.get("allocated_bytes.current"))
        return None if held is None else int(held)

    def allocator_settings(self) -> str | None:
        """The settings of the allocator in force.

        `None` before torch 2.9 with the backend `cudaMallocAsync`, of which torch has no snapshot.
        """
        import torch  # noqa: PLC0415

        in_force = super().allocator_settings()
        if in_force is None and torch.cuda.get_allocator_backend() == "native":
            snapshot = torch.cuda.memory._snapshot()
            return str(snapshot["allocator_settings"]["PYTORCH_CUDA_ALLOC_CONF"])
        return in_force

    def gauge(self, device: str) -> Gauge | None:
        """The GPU's gauge; `None` if NVML is not usable, or does not know the GPU."""
        import pynvml  # noqa: PLC0415

        try:
            return NvidiaGauge(int(device.partition(":")[2] or 0))
        except pynvml.NVMLError:
            return None

    def require_precision(self, precision: str, device: str) -> None:
        """Refuses TF32 and bfloat16 on a GPU that does not support them.

        Raises:
            UnsupportedError: The GPU lacks the precision; the message gives the reason.
        """
        import torch  # noqa: PLC0415

        if precision == "tf32" and torch.cuda.get_device_capability(device) < (8, 0):
            raise tf32_error(device)
        if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise UnsupportedError(
                "precision", f"{device} does not support bfloat16; use --precision fp16"
            )

    def require_compiler(self) -> None:
        """Refuses `torch.compile` if there is no Triton.

        Raises:
            UnsupportedError: There is none; the message says what to install.
        """
        from torch.utils._triton import has_triton  # noqa: PLC0415

        if not has_triton():
            raise UnsupportedError(
                "compile",
                "torch.compile needs Triton for this GPU, and it is not usable; install triton, "
                "or use --compile off",
            )

    def profiler_activity(self) -> "ProfilerActivity | None":
        """The activity of CUDA: kernels, copies and calls of CUDA's runtime."""
        from torch.profiler import ProfilerActivity  # noqa: PLC0415

        return ProfilerActivity.CUDA
