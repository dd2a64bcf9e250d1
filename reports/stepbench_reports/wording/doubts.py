"""Doubts about a case's figures in a few words each, for the case's row in a table."""

from collections.abc import Sequence
from enum import StrEnum

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import quantity

MARK = "!"
"""Marks a case with doubts where there is no room for words."""
LONGER = 3
"""The factor by which more time is recommended."""


class Doubt(StrEnum):
    """A doubt about a case's figures, in words; the gravest first."""

    INTERFERENCE = "interference"
    """More than half of the turns were left out."""
    CONTROL = "doubtful speed-up"
    """The control of the speed-up differs: more than the setting differed between both cases."""
    VAGUE = "too imprecise"
    """Generations differ so much that the interval of the step or of the speed-up says nothing."""
    ALONE = "no interval"
    """There is a single generation."""
    UNPAIRED = "not paired"
    """The case did not take turns with its uncompiled one."""
    UNSTEADY = "not steady"
    """Warm-up ended without a steady state."""


def doubts(run: Run, measurement: Measurement) -> list[Doubt]:
    """The doubts about a measured case's figures, the gravest first; `caveats` explains them."""
    if not measurement.ok:
        return []
    speedup = run.speedups.get(measurement.id)
    findings = measurement.findings
    found = {
        Doubt.INTERFERENCE: measurement.interference,
        Doubt.CONTROL: run.doubtful(measurement.id),
        Doubt.VAGUE: is_vague(run, measurement),
        Doubt.ALONE: len(measurement.generations) < 2,
        Doubt.UNPAIRED: speedup is not None and not speedup.paired,
        Doubt.UNSTEADY: findings is not None and not findings.warmup.steady,
    }
    return [doubt for doubt, holds in found.items() if holds]


def is_vague(run: Run, measurement: Measurement) -> bool:
    """True if the interval of a case's step, or that of its speed-up, says nothing."""
    speedup = run.speedups.get(measurement.id)
    vague_step = measurement.step.relative_half_width > quantity.MAX_UNCERTAINTY
    return vague_step or (speedup is not None and quantity.is_vague(speedup.interval))


def mark(run: Run, measurement: Measurement) -> str:
    """A mark behind a case's name, after a space; empty without doubts."""
    return f" {MARK}" if doubts(run, measurement) else ""


def quieter(cases: Sequence[Measurement]) -> str:
    """The remedy for interference in some cases, as a sentence."""
    threads = any(
        m.clock == "host" and m.findings is not None and m.findings.settings.threads > 1
        for m in cases
    )
    fewer = f", or with {one_thread(cases)}, which needs a single core" if threads else ""
    return f"Measure again on a quieter machine{fewer}."


def one_thread(cases: Sequence[Measurement]) -> str:
    """The option with which cases compute on one core, or the variable that scripts read."""
    return "OMP_NUM_THREADS=1" if any(m.script is not None for m in cases) else "--threads 1"


def longer(run: Run) -> str:
    """The option that gives a run more time."""
    return f"--max-time {LONGER * run.facts.sampling.max_time_s:g}"


def more_generations(run: Run) -> str:
    """The option that gives a run more generations."""
    return f"--generations {2 * run.facts.sampling.generations}"


def first(run: Run) -> str:
    """The reason why a run's conclusion does not hold, and what to do; empty if it holds.

    It does not hold if most cases are left out because of interference, if every speed-up is
    doubtful, or if every case is marked.
    """
    measured = run.measured
    found = {m.id: doubts(run, m) for m in measured}
    noisy = [m for m in measured if m.interference]
    if noisy and 2 * len(noisy) >= len(measured):
        what = f"Interference left too few turns in {len(noisy)} of {len(measured)} cases"
        return f"{what}, which are not compared. {quieter(noisy)}"
    compared = [case_id for case_id in run.speedups if case_id in run.controls]
    if compared and all(Doubt.CONTROL in found[case_id] for case_id in compared):
        return (
            "Speed-ups by compiling do not hold: making batches, which compiling cannot touch, "
            f"took another time, too. Measure again with {more_generations(run)}."
        )
    gravest = list(dict.fromkeys(each[0] for each in found.values() if each))
    if not gravest or gravest == [Doubt.ALONE] or not all(found.values()):
        return ""
    return f"Every case is in doubt ({', '.join(gravest)}). {_remedy(run, gravest[0])}"


def _remedy(run: Run, doubt: Doubt) -> str:
    match doubt:
        case Doubt.INTERFERENCE | Doubt.VAGUE:
            return quieter(run.measured)
        case Doubt.CONTROL:
            return f"Measure again with {more_generations(run)}."
        case Doubt.ALONE:
            return "Leave out --steps."
        case Doubt.UNPAIRED:
            return "Measure all cases in one run, in turns."
        case Doubt.UNSTEADY:
            return f"Measure longer: {longer(run)}."
