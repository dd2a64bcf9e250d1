"""Says what the time of a run was spent on."""

import math
from collections.abc import Iterable

from stepbench_reports.read.run import Run
from stepbench_reports.wording import quantity


def sentence(run: Run) -> str:
    """The time of each kind of work, the first in order first; empty if none is known.

    The server imports while other things are prepared. Cases that share a compilation or a
    comparison share its time.
    """
    facts = run.facts
    sampling_s = _total(turn.elapsed_s for m in run.measured for turn in m.turns.taken)
    cases_s = _total(m.elapsed_s for m in run.measured)
    compared = {
        m.parity.judged.judged_case: m.parity.judged.elapsed_s
        for m in run.measurements
        if m.parity.judged is not None
    }
    compiled = {m.cold_first_step_s for m in run.measured}
    times = {
        "importing": facts.server.import_s,
        "peak throughput": facts.peaks_s,
        "first steps with an empty compile cache": _total(compiled),
        "starts, warm-up, untimed steps and passes": cases_s - sampling_s if sampling_s else 0.0,
        "sampling": sampling_s,
        "parity": _total(compared.values()),
    }
    return ", ".join(
        f"{name} {quantity.seconds(duration_s)}" for name, duration_s in times.items() if duration_s
    )


def _total(durations_s: Iterable[float]) -> float:
    """The sum of the durations that are known, seconds."""
    return math.fsum(seconds for seconds in durations_s if math.isfinite(seconds))
