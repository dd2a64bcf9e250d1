"""The machine's state during blocks of steps: what others used, and which blocks count."""

from typing import Literal

from stepbench_reports.schema.record import Count, Record, Share

ThrottlingSource = Literal["violation counters", "clock event reasons"]
Suspension = Literal["process stopped", "machine suspended", "clock set", "machine stood still"]


class MachineUse(Record, frozen=True, kw_only=True):
    """The machine's state during a block or a pair.

    A value that the system does not report is `null` in the file.

    Attributes:
        others: The share of the usable cores' time used by processes other than the case's.
        steal: The share of the usable cores' time that the hypervisor gave to other virtual
            machines.
        pressure: The share of wall time in which any task on the machine waited for a core.
        cpu_per_wall: The CPU time of the case's processes divided by the wall time.
        involuntary_switches: The number of involuntary context switches of the case's process.
        clock_hz: The device's clock frequency at the end, Hz (CUDA).
        throttled: The reasons for which the device was throttled; the power limit does not count
            (CUDA).
        throttling_source: The source of `throttled`: `violation counters` count the time in which
            heat kept the clock low, over the whole block; a hardware slowdown and a power brake,
            which have no counter, are read at its end. `clock event reasons` are all read at its
            end, since the GPU has no violation counters. `None` if the device reports neither.
        suspended: The reason for which the block's duration is not that of its work: `process
            stopped` (by a signal), `machine suspended` (it slept), `clock set` (the wall clock) or
            `machine stood still` (an idle thread woke up too late). `None` if it is.
        quota_stopped: The time for which the CPU quota of the process's control group, such as a
            container's limit, stopped the group; summed over cores, as a share of wall time.
        device_processes: The number of other processes on the device at the end (CUDA).
    """

    others: Share | None
    steal: Share | None
    pressure: float | None
    cpu_per_wall: float
    involuntary_switches: Count
    clock_hz: float | None = None
    throttled: str | None = None
    throttling_source: ThrottlingSource | None = None
    suspended: Suspension | None = None
    quota_stopped: Share | None = None
    device_processes: Count | None = None


class BlockNoise(MachineUse, frozen=True, kw_only=True):
    """The machine's state during a block.

    A value that the system does not report is `null` in the file.

    Attributes:
        kind: The block's kind.
        kept: True if the block counts.
    """

    kind: Literal["lapped", "bare"]
    kept: bool


class Noise(Record, frozen=True, kw_only=True):
    """Interference while the case was sampled.

    Attributes:
        interference: True if more than half of all blocks were left out.
        discarded: The number of blocks that were left out; their laps are not kept.
        blocks: Every block, including those that were left out.
    """

    interference: bool
    discarded: Count
    blocks: tuple[BlockNoise, ...] = ()
