"""The folded sections of a report, one module for each, and the tables that they share.

Belongs here: code that selects the figures a section shows. A new section is a module with a
function `section` and an entry in `SECTIONS`.
"""

from collections.abc import Callable

from stepbench_reports.read.run import Run
from stepbench_reports.sections import (
    bottlenecks,
    clocks,
    compilation,
    controls,
    hosts,
    loader,
    loader_workers,
    micro_batches,
    one_time_costs,
    operators,
    parity,
    quantiles,
    roofline,
    script,
    traces,
)
from stepbench_reports.sections.section import Section

SECTIONS: tuple[Callable[[Run], Section | None], ...] = (
    script.section,
    hosts.section,
    bottlenecks.section,
    parity.section,
    controls.section,
    quantiles.section,
    loader.section,
    compilation.section,
    roofline.section,
    clocks.section,
    micro_batches.section,
    one_time_costs.section,
    operators.section,
    traces.section,
    loader_workers.section,
)
"""The functions that make the sections, in order; each returns `None` if it has no figures."""


def collect(run: Run) -> list[Section]:
    """Makes the sections that the run has figures for, in the order of `SECTIONS`."""
    return [result for section in SECTIONS if (result := section(run)) is not None]
