"""The section on hosts: their hardware, and how fast each runs the cases that all have measured."""

from stepbench_reports.read.hosts import HostSpeed
from stepbench_reports.read.run import Run
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import doubts, hosts, quantity, summary
from stepbench_reports.wording.markup import escaped, grid

TABLE_BYTES = 4_000
HOST_FILES = "`hosts/` and `repeats/` in the run directory"


def section(run: Run) -> Section | None:
    """A row for each host, if there is more than one."""
    if not run.has_hosts:
        return None
    reference = run.links[0] if run.links else None
    name = "" if reference is None else f" ({escaped(summary.name(run, reference))})"
    facts = run.facts.cluster
    spread = facts is None or not facts.hosts_as_axis
    lead = (
        f"Cases of different hosts are compared through the reference case{name}, which every job "
        "measures beside its own cases: each by its ratio to the reference on its own host. "
        if spread
        else "All cases were measured on each host; the other tables show them on the first one. "
    ) + (
        "Speed is that over the median of the other hosts, on all cases that several hosts have "
        "measured. The intervals of all hosts hold together with 95 %; they come from job to job "
        "if a host has had several, else from generation to generation, which differ less. "
        f"{doubts.MARK} marks a host that is certainly more than 3 % slower."
    )
    rows = [_row(speed) for speed in run.host_speeds]
    heads = ["host", "hardware", "cases", "reference, samples/s", "speed"]
    return Section("Hosts", lead, grid(heads, "llrrr", rows, TABLE_BYTES), HOST_FILES)


def _row(speed: HostSpeed) -> list[str]:
    mark = f" {doubts.MARK} slow" if speed.is_slow else ""
    return [
        escaped(speed.facts.name),
        escaped(hosts.hardware(speed.facts)),
        str(speed.cases),
        quantity.rate(speed.reference),
        f"{quantity.times_range(speed.relative)}{mark}",
    ]
