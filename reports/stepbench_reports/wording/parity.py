"""Describes a case's parity in words."""

import math
from collections.abc import Mapping

from stepbench_reports.read.parity import NOT_JUDGED, Parity
from stepbench_reports.schema.parity import ParityVerdict, TrainingVerdict
from stepbench_reports.wording import quantity

_VERDICTS: Mapping[str, str] = {
    ParityVerdict.FAIL: "departs",
    ParityVerdict.UNDECIDED: "undecided",
}


def short(parity: Parity) -> str:
    """The parity for a narrow column: `ok`, `LOST`, `?`; empty if the case was not compared."""
    if not parity.known:
        return quantity.NOTHING
    if parity.lost:
        return "LOST"
    return "?" if parity.open else "ok"


def cell(parity: Parity) -> str:
    """The verdict and the worst relative error: `pass 3e-07`, `**lost** 0.001`."""
    if not parity.known:
        return quantity.NOTHING
    word = "**lost**" if parity.lost else "open" if parity.open else ParityVerdict.PASS
    error = relative(parity.error)
    return f"{word} {error}" if error else word


def relative(error: float) -> str:
    """A relative error to one significant digit: `3e-07`; empty for NaN."""
    if math.isnan(error):
        return quantity.NOTHING
    return f"{error:.0e}" if math.isfinite(error) else "not finite"


def sentence(parity: Parity) -> str:
    """States why a case's parity failed or is unknown; empty if it passed."""
    said = []
    if parity.verdict not in {None, ParityVerdict.PASS}:
        word = _VERDICTS.get(str(parity.verdict), NOT_JUDGED)
        said.append(f"{word}: {parity.reason or 'no reason is recorded'}")
    elif _reload_reason(parity):
        said.append(f"saving and reloading could not be compared: {_reload_reason(parity)}")
    if parity.trained in {TrainingVerdict.DIFFERENT, TrainingVerdict.INCONCLUSIVE}:
        said.append(f"its trainings are {parity.trained} ({points(parity)})")
    elif parity.trained == NOT_JUDGED:
        said.append(f"its trainings came to no end: {parity.trained_reason}")
    return "; ".join(said)


def _reload_reason(parity: Parity) -> str:
    reload = None if parity.judgement is None else parity.judgement.reload
    return (None if reload is None else reload.reason) or ""


def points(parity: Parity) -> str:
    """The difference in test accuracy with its interval, in percentage points."""
    difference, low, high = (100 * x for x in parity.difference)
    if math.isnan(difference):
        return "too few came to an end"
    interval = "" if math.isnan(low) else f", {low:+.2f} to {high:+.2f}"
    return f"{difference:+.2f} points{interval}, over {parity.seeds} seeds"


def shortened(parity: Parity) -> str:
    """Describes a comparison with fewer steps or samples than requested; empty if not shortened."""
    reference = None if parity.judgement is None else parity.judgement.reference
    if reference is None or not reference.cut:
        return quantity.NOTHING
    return (
        f"compared over {reference.steps} of {reference.asked_steps} steps at batch size "
        f"{reference.batch_size} instead of {reference.asked_batch_size}, {reference.cut}"
    )
