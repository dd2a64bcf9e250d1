"""Describes the hosts of a run on a cluster in words."""

from collections.abc import Iterator

from stepbench_reports.read.run import Run
from stepbench_reports.schema.cluster import HostFacts
from stepbench_reports.wording import quantity
from stepbench_reports.wording.with_noun import with_noun

MAX_NAMED = 3
"""The number of hosts that a sentence names."""


def hardware(host: HostFacts) -> str:
    """A host's devices, processor, cores and memory."""
    facts = host.machine
    gpus = [name for device, name in facts.devices.items() if device != "cpu"]
    counted = [
        name if gpus.count(name) == 1 else f"{gpus.count(name)} x {name}"
        for name in dict.fromkeys(gpus)
    ]
    cores = with_noun(facts.usable_cores, "core")
    memory = f"{facts.memory_bytes / 2**30:.0f} GiB"
    return ", ".join([*counted, facts.cpu, cores, memory])


def machines(run: Run) -> str:
    """All hosts, and their hardware."""
    names = [host.name for host in run.hosts]
    named = ", ".join(names[:MAX_NAMED])
    if len(names) > MAX_NAMED:
        named += f" and {len(names) - MAX_NAMED} more"
    kinds = list(dict.fromkeys(map(hardware, run.hosts)))
    if len(kinds) > MAX_NAMED:
        return f"{len(names)} hosts ({named}) of {len(kinds)} kinds of hardware"
    each = "each " if len(kinds) == 1 else ""
    return f"{len(names)} hosts ({named}): {each}{'; '.join(kinds)}"


def slow(run: Run) -> Iterator[str]:
    """A sentence for each slow host, the slowest first."""
    found = sorted(
        (speed for speed in run.host_speeds if speed.is_slow), key=lambda s: s.relative.value
    )
    for speed in found[:MAX_NAMED]:
        yield (
            f"Host {speed.facts.name} is slow: {quantity.times_range(speed.relative)} the speed of "
            f"the other hosts on the same cases. Look at its clocks, temperature and neighbours, "
            f"or leave it out."
        )
    if len(found) > MAX_NAMED:
        yield f"{len(found) - MAX_NAMED} more hosts are slow: see the table of hosts."


def unlinked(run: Run) -> Iterator[str]:
    """Says that cases of different hosts cannot be compared, if no case links the hosts."""
    if run.has_hosts and not run.links:
        yield (
            "The hosts have no measured case in common, so cases of different hosts are not "
            "compared: measure the first eager case on each with --resume and --on."
        )
