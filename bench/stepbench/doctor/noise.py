"""Checks how quiet the machine is: does the same work for some seconds, and watches the others."""

import statistics
import time

from stepbench.doctor.diagnosis import Ability, Diagnosis
from stepbench.interference.watch import MAX_OTHERS, MAX_STEAL, MachineWatch
from stepbench_reports.schema.machine_use import MachineUse

NOISE_S = 5.0
"""The default time of watching, seconds."""
BLOCK = 100_000
"""The number of additions in a block of work, which takes some milliseconds."""
MAX_SPREAD = 0.10
"""The largest difference between the 90th and the 50th percentile that counts as quiet."""


def check_noise(duration_s: float = NOISE_S) -> Diagnosis:
    """Repeats a block of the same work, and watches what else the machine does meanwhile.

    Args:
        duration_s: The time of watching, seconds.
    """
    watch = MachineWatch()
    blocks_s: list[float] = []
    ends_s = time.perf_counter() + duration_s
    while time.perf_counter() < ends_s or len(blocks_s) < 10:
        began_s = time.perf_counter()
        sum(range(BLOCK))
        blocks_s.append(time.perf_counter() - began_s)
    return noise(watch.end(), blocks_s)


def noise(use: MachineUse, blocks_s: list[float]) -> Diagnosis:
    """Diagnoses the noise.

    Args:
        use: The use of the machine meanwhile.
        blocks_s: The durations of blocks of the same work, seconds; at least two.
    """
    deciles = statistics.quantiles(blocks_s, n=10)
    spread = deciles[8] / deciles[4] - 1
    others, steal = use.others or 0.0, use.steal or 0.0
    found = (
        f"Other processes took {100 * others:.0f} % of the cores, the hypervisor "
        f"{100 * steal:.0f} %; one block in ten of the same work took over {100 * spread:.0f} % "
        f"more than the median"
    )
    if others <= MAX_OTHERS and steal <= MAX_STEAL and spread <= MAX_SPREAD:
        return Diagnosis("noise", Ability.OK, f"{found}.")
    return Diagnosis(
        "noise",
        Ability.LIMITED,
        f"{found}: turns with interference are left out, and intervals are wide.",
        "Stop other work, use --threads 1, or give a run more time (--max-time).",
    )
