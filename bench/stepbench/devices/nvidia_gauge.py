"""The gauge of NVIDIA's GPUs, which asks NVML, the library of NVIDIA's driver.

On virtual GPUs (vGPU), on parts of a GPU (MIG) and in sandboxes NVML refuses some queries and
answers others. A refused query gives `None` for what it asks, and affects nothing else.
"""

import os
import time
from typing import TYPE_CHECKING, Any

from stepbench.devices.kind import GaugeReading

if TYPE_CHECKING:
    from stepbench_reports.schema.machine_use import ThrottlingSource

MIN_VIOLATION = 0.01
"""The share of a block from which the time that heat kept the clock low counts as throttling: GPUs
report violations of microseconds under any load."""
_HEAT = "heat"
_REASONS = {0x08: "hardware slowdown", 0x20: _HEAT, 0x40: _HEAT, 0x80: "power brake"}
"""The bits of NVML's reasons for a lower clock, and words for them. The power limit is left out: a
busy device is at that limit all the time."""


class NvidiaGauge:
    """Reads the state of an NVIDIA GPU from NVML.

    Args:
        index: The device's index in CUDA.

    Raises:
        pynvml.NVMLError: NVML is not usable, or does not know the GPU.
    """

    def __init__(self, index: int) -> None:
        import pynvml  # noqa: PLC0415  # only needed if there is an NVIDIA GPU
        import torch  # noqa: PLC0415

        pynvml.nvmlInit()
        self._nvml = pynvml
        uuid = str(torch.cuda.get_device_properties(index).uuid)
        self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        self.begin()

    def begin(self) -> None:
        """Reads the counter of the time that heat kept the clock low."""
        self._began_ns = time.perf_counter_ns()
        self._first_violation_ns = self._violation_ns()

    def end(self) -> GaugeReading:
        """Reads the clock, and the reasons for throttling since `begin`.

        Heat is read from the counter, over the whole block; reasons that have no counter are read
        now. If NVML refuses the counter, all reasons are read now.
        """
        duration_ns = time.perf_counter_ns() - self._began_ns
        first_ns, last_ns = self._first_violation_ns, self._violation_ns()
        clock_mhz = self._query("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM)
        # Drivers before release 535 know the reasons by their former name only.
        reasons = self._query("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:
            reasons = self._query("nvmlDeviceGetCurrentClocksThrottleReasons")
        words = {word for bit, word in _REASONS.items() if bit & (reasons or 0)}
        source: ThrottlingSource | None = None if reasons is None else "clock event reasons"
        if first_ns is not None and last_ns is not None:
            source = "violation counters"
            words.discard(_HEAT)
            if last_ns - first_ns >= MIN_VIOLATION * duration_ns:
                words.add(_HEAT)
        return GaugeReading(
            clock_hz=None if clock_mhz is None else clock_mhz * 1e6,
            throttled=", ".join(sorted(words)) or None,
            throttling_source=source,
            processes=self._other_processes(),
        )

    def _other_processes(self) -> int | None:
        """The number of processes that compute on the GPU and are not of this run.

        Those of a run share its session. `None` if NVML refuses, or does not list this process: in
        a container it may tell numbers that have no meaning there.
        """
        processes = self._query("nvmlDeviceGetComputeRunningProcesses")
        pids = {int(process.pid) for process in processes or ()}
        if not hasattr(os, "getsid") or os.getpid() not in pids:
            return None
        return sum(_is_of_other_session(pid) for pid in pids)

    def _violation_ns(self) -> int | None:
        """The time since the driver's start in which heat kept the clock low, nanoseconds."""
        status = self._query("nvmlDeviceGetViolationStatus", self._nvml.NVML_PERF_POLICY_THERMAL)
        return None if status is None else int(status.violationTime)

    def _query(self, function: str, *arguments: object) -> Any:  # noqa: ANN401  # as the function
        """The answer of a function of NVML on the GPU; `None` if NVML refuses or lacks it."""
        query = getattr(self._nvml, function, None)
        try:
            return None if query is None else query(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None


def _is_of_other_session(pid: int) -> bool:
    try:
        return os.getsid(pid) != os.getsid(0)
    except ProcessLookupError:  # it has just ended
        return False
    except PermissionError:
        return True
