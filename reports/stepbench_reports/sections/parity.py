"""The section on parity: errors relative to eager double precision, and trained accuracies."""

import math
from collections.abc import Mapping, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.parity import Judgement, TensorKind
from stepbench_reports.sections import tables
from stepbench_reports.sections.section import Section
from stepbench_reports.wording import parity, quantity
from stepbench_reports.wording.markup import Grid, code, escaped, within

TABLE_BYTES = 2_500
SENTENCES_BYTES = 2_500


def section(run: Run) -> Section | None:
    """A row for each set of cases with the same numerics: the relative errors by kind of tensor."""
    compared = [m for m in run.measurements if m.parity.compared and m.axes]
    if not compared:
        return None
    columns: dict[str, tables.Column] = {
        "parity": lambda m: parity.cell(m.parity),
        **{kind: _error_of(kind) for kind in TensorKind},
        "starts": _starts,
        "trainings": lambda m: escaped(m.parity.trained or ""),
        "accuracy": lambda m: _accuracy(m.parity.accuracy),
        "eager fp32": lambda m: _accuracy(m.parity.eager_fp32_accuracy),
        "difference": lambda m: escaped(parity.points(m.parity)) if m.parity.seeds else "",
    }
    sentences = [
        f"- {code(m.id)}: {escaped(text)}"
        for m in compared
        for text in (parity.sentence(m.parity), parity.shortened(m.parity))
        if text
    ]
    lines, left_out = within(SENTENCES_BYTES, list(dict.fromkeys(sentences)))
    judgements = [m.parity.judgement for m in compared if m.parity.judgement is not None]
    table = _table(run, compared, columns)
    return Section("Parity", _lead(judgements), table, "`parity/`", tuple(lines), left_out)


def _lead(judgements: Sequence[Judgement]) -> str:
    multiple = f"{judgements[0].rule.multiple:g} times" if judgements else "a multiple of"
    reference = next((j.reference for j in judgements if j.reference is not None), None)
    steps = "some" if reference is None else f"{reference.requested_steps:,.0f}"
    return (
        f"Relative errors of outputs, losses, gradients, parameters and buffers over {steps} "
        f"training steps, compared with eager execution in double precision on the CPU from the "
        f"same weights and batches. Each column shows the tensor closest to its tolerance, which "
        f"is {multiple} eager's error in the case's precision, plus a floor. Parameters are "
        f"compared by their change."
    )


def _table(run: Run, compared: Sequence[Measurement], columns: Mapping[str, tables.Column]) -> Grid:
    """A row for each judged case, which stands for all cases with the same numerics."""
    by_judged_case: dict[str, Measurement] = {}
    for m in compared:
        by_judged_case.setdefault(m.parity.judged_case or m.id, m)
    return tables.case_table(run, list(by_judged_case.values()), columns, TABLE_BYTES)


def _starts(measurement: Measurement) -> str:
    judgement = measurement.parity.judgement
    return quantity.NOTHING if judgement is None else tables.count(judgement.starts)


def _error_of(kind: TensorKind) -> tables.Column:
    return lambda measurement: parity.relative(measurement.parity.error_of(kind))


def _accuracy(share: float) -> str:
    return quantity.NOTHING if math.isnan(share) else f"{share * 100:.2f} %"
