"""The uncompiled case of a compiled one, and the control of the speed-up over it."""

from collections.abc import Mapping, Sequence

from stepbench_reports.analysis import comparison, control
from stepbench_reports.analysis.control import Control
from stepbench_reports.read.axis_values import axes_key
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.schema.phases import Phase


def of_each(measured: Sequence[Measurement]) -> dict[str, Measurement]:
    """The uncompiled case of each compiled case, by the compiled case's id.

    Args:
        measured: The cases that were measured.
    """
    by_axes = {axes_key(m.axes): m for m in measured}
    found = {}
    for measurement in by_axes.values():
        eager_axes = comparison.uncompiled(measurement.axes)
        eager = by_axes.get(axes_key(eager_axes)) if eager_axes is not None else None
        if eager is not None and eager.clock == measurement.clock:
            found[measurement.id] = eager
    return found


def controls(
    measured: Sequence[Measurement], uncompiled: Mapping[str, Measurement]
) -> dict[str, Control]:
    """The control of each speed-up over an uncompiled case: the time of making batches.

    Compilation cannot touch what the training process itself does for `dataload`: without loader
    workers, and on a synchronous device, where no other work is charged to the phase.

    Args:
        measured: The cases that were measured.
        uncompiled: The uncompiled case of each compiled case, by the compiled case's id.
    """
    pairs = {
        case.id: (case, uncompiled[case.id])
        for case in measured
        if case.id in uncompiled
        and not uncompiled[case.id].turns.workers
        and uncompiled[case.id].clock == "host"
    }
    found = {
        case_id: control.compare(
            case.turns.phase_means(Phase.DATALOAD),
            eager.turns.phase_means(Phase.DATALOAD),
            len(pairs),
        )
        for case_id, (case, eager) in pairs.items()
    }
    return {case_id: each for case_id, each in found.items() if each is not None}
