"""Describes a case's parity in words."""

import math

from stepbench_reports.read.parity import NOT_JUDGED, Parity
from stepbench_reports.schema.parity import ParityVerdict, TrainingVerdict
from stepbench_reports.wording import quantity


def short(parity: Parity) -> str:
    """The parity in a word: `pass`, `FAIL`, `unknown`; empty if the case was not compared."""
    if not parity.compared:
        return quantity.NOTHING
    if parity.failed:
        return "FAIL"
    return "unknown" if parity.unknown else "pass"


def cell(parity: Parity) -> str:
    """The parity and the worst relative error: `pass 3e-07`, `**FAIL** 1e-03`, `unknown`."""
    word = f"**{short(parity)}**" if parity.failed else short(parity)
    error = relative(parity.error)
    return f"{word} {error}" if error else word


def relative(error: float) -> str:
    """A relative error to one significant digit: `3e-07`; empty for NaN."""
    if math.isnan(error):
        return quantity.NOTHING
    return f"{error:.0e}" if math.isfinite(error) else "not finite"


def sentence(parity: Parity) -> str:
    """States why a case's parity failed or is unknown; empty if it passed."""
    sentences = []
    if parity.verdict not in {None, ParityVerdict.PASS}:
        sentences.append(f"{parity.verdict}: {parity.reason or 'no reason is recorded'}")
    elif _reload_reason(parity):
        sentences.append(f"saving and reloading could not be compared: {_reload_reason(parity)}")
    if parity.trained in {TrainingVerdict.DIFFERENT, TrainingVerdict.INCONCLUSIVE}:
        sentences.append(f"test accuracy is {parity.trained} ({points(parity)})")
    elif parity.trained == NOT_JUDGED:
        sentences.append(f"training parity was {NOT_JUDGED}: {parity.trained_reason}")
    return "; ".join(sentences)


def _reload_reason(parity: Parity) -> str:
    reload = None if parity.judgement is None else parity.judgement.reload
    return (None if reload is None else reload.reason) or ""


def points(parity: Parity) -> str:
    """The difference in test accuracy with its interval, in percentage points."""
    difference, low, high = (100 * x for x in parity.difference)
    if math.isnan(difference):
        return "too few trainings finished"
    interval = "" if math.isnan(low) else f", {low:+.2f} to {high:+.2f}"
    return f"{difference:+.2f} points{interval}, over {parity.seeds} seeds"


def shortened(parity: Parity) -> str:
    """Describes a comparison with fewer steps or samples than requested; empty if not shortened."""
    reference = None if parity.judgement is None else parity.judgement.reference
    if reference is None or not reference.cut:
        return quantity.NOTHING
    return (
        f"compared over {reference.steps} of {reference.requested_steps} steps at batch size "
        f"{reference.batch_size} instead of {reference.requested_batch_size}, {reference.cut}"
    )
