"""Caveats about a run's figures, a sentence each."""

import math
from collections.abc import Callable, Iterator, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import parity, quantity, summary

LAPS_COST = 0.02
"""The largest relative difference of steps with and without laps that needs no caveat."""
BURSTY = 0.10
"""The largest relative difference of mean and median step that needs no caveat."""

_Who = Callable[[Sequence[Measurement]], str]


def caveats(run: Run) -> list[str]:
    """All caveats about the run's figures."""
    measured = run.measured
    names = summary.varying(run)

    def who(found: Sequence[Measurement]) -> str:
        if len(found) > summary.MOST_NAMED or not names:
            return f"in {summary.cases(len(found))}"
        return "in " + ", ".join(summary.name(run, m) for m in found)

    return [
        *_parity(run),
        *_precision(run, measured, who),
        *_noise(measured, who),
        *_laps(measured, who),
        *_means(run, measured, who),
        *_ceilings(run, measured, who),
    ]


def _parity(run: Run) -> Iterator[str]:
    """Cases that failed parity, or whose parity is unknown: one sentence for each finding."""
    found: dict[str, list[Measurement]] = {}
    for m in run.measurements:
        if m.parity.lost or m.parity.open:
            found.setdefault(parity.sentence(m.parity), []).append(m)
    for said, cases in found.items():
        names = [summary.name(run, m) for m in cases]
        who = ", ".join(names) if len(names) <= summary.MOST_NAMED else summary.cases(len(names))
        yield f"Parity of {who}: {said}."


def _precision(run: Run, measured: Sequence[Measurement], who: _Who) -> Iterator[str]:
    """Cases whose sampling or warm-up ended too early: at the time limit, or with too few steps."""
    target = run.facts.sampling.rel_error
    short = [m for m in measured if m.stopped == "time" and m.step.relative_half_width > target]
    if short:
        worst = quantity.uncertainty(max(m.step.relative_half_width for m in short))
        yield (
            f"Less precise than the ±{quantity.asked(target)} asked for {who(short)} "
            f"(±{worst} at worst): the time was up; give --max-time more."
        )
    few = [m for m in measured if math.isnan(m.step.low)]
    if few:
        yield f"No interval {who(few)}: fewer than 6 steps; give --steps or --max-time more."
    restless = [m for m in measured if m.findings is not None and not m.findings.warmup.settled]
    if restless:
        yield f"Warm-up had not settled {who(restless)}: steps may still have become faster."


def _noise(measured: Sequence[Measurement], who: _Who) -> Iterator[str]:
    """Interference from other work on the machine."""
    watched = [m for m in measured if m.watched_blocks > 0]
    set_aside = sum(m.blocks_set_aside for m in watched)
    if set_aside:
        blocks = sum(m.watched_blocks for m in watched)
        yield (
            f"{set_aside:,.0f} of {blocks:,.0f} blocks were set aside, as others disturbed them, "
            f"and measured again."
        )
    disturbed = [m for m in measured if m.disturbed]
    if disturbed:
        yield (
            f"{summary.DISTURBED} Disturbed {who(disturbed)}: others were at work around more than "
            f"a fifth of the blocks, or so long that disturbed ones count{_by_what(disturbed)}. Go "
            f"by these figures only after measuring them again on a quieter machine."
        )


def _by_what(disturbed: Sequence[Measurement]) -> str:
    """The worst interference in the blocks that count: its causes and their shares of the cores."""
    kept = [
        block
        for m in disturbed
        if m.findings is not None
        for block in m.findings.noise.blocks
        if block.kept
    ]
    told = []
    for what, shares in {
        "others' work": [block.others for block in kept],
        "the machine's host": [block.steal for block in kept],
    }.items():
        worst = max((share for share in shares if share is not None), default=0.0)
        if worst > 0:
            told.append(f"{what} took up to {quantity.percent(worst)} of the cores")
    reasons = dict.fromkeys(block.throttled for block in kept if block.throttled)
    if reasons:
        told.append(f"the device was throttled by {', '.join(reasons)}")
    return f" ({'; '.join(told)})" if told else ""


def _laps(measured: Sequence[Measurement], who: _Who) -> Iterator[str]:
    """The cost of taking laps."""
    isolated = [m for m in measured if m.isolated]
    if isolated:
        ratios = [m.lapped_per_bare for m in isolated if not math.isnan(m.lapped_per_bare)]
        price = f" (steps took up to {max(ratios):.2f} times as long for it)" if ratios else ""
        yield (
            f"With --sync-phases the device was waited for at every lap {who(isolated)}: laps are "
            f"each phase's cost by itself, lapped / bare is the price of the waiting{price}, and "
            f"samples/s is taken without."
        )
    costly = [m for m in measured if abs(m.lapped_per_bare - 1) > LAPS_COST and not m.isolated]
    if costly:
        worst = max(costly, key=lambda m: abs(m.lapped_per_bare - 1))
        yield (
            f"Steps with and without laps are more than {LAPS_COST * 100:.0f} % apart "
            f"{who(costly)} (with / without {worst.lapped_per_bare:.3f} at worst): phases are "
            f"that uncertain; samples/s is taken without laps."
        )


def _means(run: Run, measured: Sequence[Measurement], who: _Who) -> Iterator[str]:
    """Cases whose mean and median differ, and the kind or lack of speed-ups."""
    bursty = [m for m in measured if not m.isolated and abs(_mean_per_median(m) - 1) > BURSTY]
    if bursty:
        yield (
            f"Mean and median step are more than {BURSTY * 100:.0f} % apart {who(bursty)}, as some "
            f"steps wait: samples/s and speed-ups go by the mean, which counts every step; the "
            f"step's column is the median."
        )
    by_median = [m for m in measured if m.id in run.speedups and run.speedups[m.id].of == "median"]
    if by_median:
        yield (
            f"The speed-up is that of median steps {who(by_median)}: with fewer than 3 bare blocks "
            f"means have no interval; give --max-time more."
        )
    alone = [m for m in measured if m.compiled and m.id not in run.speedups]
    if alone:
        yield f"No speed-up {who(alone)}: the eager twin was not measured."


def _mean_per_median(measurement: Measurement) -> float:
    """The mean step (that of samples/s) divided by the median step; 1 if there is no median."""
    if not measurement.step.value > 0:
        return 1.0
    return measurement.mean_step.value / measurement.step.value


def _ceilings(run: Run, measured: Sequence[Measurement], who: _Who) -> Iterator[str]:
    """Cases that exceed the device's measured peak throughput."""
    above = [m for m in measured if run.share_of_ceiling(m) > 1]
    if above:
        worst = quantity.percent(max(run.share_of_ceiling(m) for m in above))
        yield (
            f"More arithmetic than this machine's ceiling {who(above)} ({worst} of it at most): "
            f"the ceiling was measured too low, and shares of it are too high."
        )
