"""The section on parity: errors relative to eager double precision, and trained accuracies."""

import math
from collections.abc import Mapping, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.parity import TensorKind
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import parity, quantity
from stepbench_reports.wording.markup import Grid, code, escaped, within

TABLE_BYTES = 2_500
SENTENCES_BYTES = 2_500


def section(run: Run) -> Section | None:
    """A row for each set of cases with the same numerics: the relative errors by kind of tensor."""
    compared = [m for m in run.measurements if m.parity.known and m.axes]
    if not compared:
        return None
    columns: dict[str, tables.Column] = {
        "parity": lambda m: parity.cell(m.parity),
        **{kind: _error_of(kind) for kind in TensorKind},
        "starts": _starts,
        "trainings": lambda m: escaped(m.parity.trained or ""),
        "accuracy": lambda m: _accuracy(m.parity.accuracy),
        "twin's": lambda m: _accuracy(m.parity.twin_accuracy),
        "difference": lambda m: escaped(parity.points(m.parity)) if m.parity.seeds else "",
    }
    told = [
        f"- {code(m.id)}: {escaped(said)}"
        for m in compared
        for said in (parity.sentence(m.parity), parity.shortened(m.parity))
        if said
    ]
    lines, left_out = within(SENTENCES_BYTES, list(dict.fromkeys(told)))
    judgements = [m.parity.judgement for m in compared if m.parity.judgement is not None]
    multiple = f"{judgements[0].rule.multiple:g}" if judgements else "some"
    taken = next((j.reference for j in judgements if j.reference is not None), None)
    lead = (
        f"Outputs, losses, gradients, parameters and buffers of "
        f"{'some' if taken is None else taken.asked_steps} "
        f"training steps beside those of eager execution in double precision on the CPU, from the "
        f"same weights and batches: relative errors, of each kind that of the tensor that comes "
        f"closest to what is allowed. That is {multiple} times the error that eager has itself in "
        f"the case's precision, and a floor. Parameters are compared by their change."
    )
    return Section("Parity", lead, _table(run, compared, columns), "`parity/`",
                   tuple(lines), left_out)  # fmt: skip


def _table(run: Run, compared: Sequence[Measurement], columns: Mapping[str, tables.Column]) -> Grid:
    """A row for each judged case, which stands for all cases with the same numerics."""
    first: dict[str, Measurement] = {}
    for m in compared:
        first.setdefault(m.parity.judged_as or m.id, m)
    return tables.filled(run, list(first.values()), columns, TABLE_BYTES)


def _starts(measurement: Measurement) -> str:
    judgement = measurement.parity.judgement
    return quantity.NOTHING if judgement is None else tables.count(judgement.starts)


def _error_of(kind: TensorKind) -> tables.Column:
    return lambda measurement: parity.relative(measurement.parity.error_of(kind))


def _accuracy(share: float) -> str:
    return quantity.NOTHING if math.isnan(share) else f"{share * 100:.2f} %"
