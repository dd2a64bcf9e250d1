"""Caveats about a run's figures, a sentence each."""

import math
from collections.abc import Callable, Iterator, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import parity, quantity, summary

MAX_LAP_COST = 0.02
"""The largest relative difference of steps with and without laps that needs no caveat."""
MAX_MEAN_OFFSET = 0.10
"""The largest relative difference of mean and median step that needs no caveat."""

_InCases = Callable[[Sequence[Measurement]], str]
"""Names cases at the end of a sentence: `in b4, b32`."""


def caveats(run: Run) -> list[str]:
    """All caveats about the run's figures."""
    measured = run.measured
    names = summary.varying(run)

    def in_cases(cases: Sequence[Measurement]) -> str:
        if len(cases) > summary.MAX_NAMED or not names:
            return f"in {summary.cases(len(cases))}"
        return "in " + ", ".join(summary.name(run, m) for m in cases)

    return [
        *_parity(run),
        *_precision(run, measured, in_cases),
        *_noise(measured, in_cases),
        *_laps(measured, in_cases),
        *_means(run, measured, in_cases),
        *_cuda_graphs(measured, in_cases),
        *_peaks(run, measured, in_cases),
    ]


def _parity(run: Run) -> Iterator[str]:
    """Cases that failed parity, or whose parity is unknown: one sentence for each finding."""
    by_sentence: dict[str, list[Measurement]] = {}
    for m in run.measurements:
        if m.parity.failed or m.parity.unknown:
            by_sentence.setdefault(parity.sentence(m.parity), []).append(m)
    for sentence, cases in by_sentence.items():
        names = [summary.name(run, m) for m in cases]
        named = ", ".join(names) if len(names) <= summary.MAX_NAMED else summary.cases(len(names))
        yield f"Parity of {named}: {sentence}."


def _precision(run: Run, measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases whose sampling or warm-up ended too early: at the time limit, or with too few steps."""
    target = run.facts.sampling.rel_error
    imprecise = [m for m in measured if m.stopped == "time" and m.step.relative_half_width > target]
    if imprecise:
        worst = quantity.uncertainty(max(m.step.relative_half_width for m in imprecise))
        yield (
            f"Less precise than the target of ±{quantity.exact_percent(target)} "
            f"{in_cases(imprecise)} (±{worst} at worst): the time limit was reached; raise "
            f"--max-time."
        )
    too_short = [m for m in measured if math.isnan(m.step.low)]
    if too_short:
        yield f"No interval {in_cases(too_short)}: fewer than 6 steps; raise --steps or --max-time."
    unsteady = [m for m in measured if m.findings is not None and not m.findings.warmup.steady]
    if unsteady:
        yield (
            f"No steady state after warm-up {in_cases(unsteady)}: steps may still have become "
            f"faster."
        )


def _noise(measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Interference from other work on the machine."""
    watched = [m for m in measured if m.checked_blocks > 0]
    discarded = sum(m.discarded_blocks for m in watched)
    if discarded:
        blocks = sum(m.checked_blocks for m in watched)
        yield (
            f"{discarded:,.0f} of {blocks:,.0f} blocks were discarded because of interference "
            f"and measured again."
        )
    noisy = [m for m in measured if m.interference]
    if noisy:
        yield (
            f"{summary.INTERFERENCE_MARK} Interference {in_cases(noisy)}: more than a fifth of the "
            f"blocks were discarded, or blocks with interference had to be counted{_causes(noisy)}"
            f". Measure again on a quieter machine before you rely on these figures."
        )


def _causes(noisy: Sequence[Measurement]) -> str:
    """The worst interference in the blocks that count: its causes and their shares of the cores."""
    blocks = [
        block
        for m in noisy
        if m.findings is not None
        for block in m.findings.noise.blocks
        if block.kept
    ]
    causes = []
    for source, shares in {
        "other processes": [block.others for block in blocks],
        "the hypervisor": [block.steal for block in blocks],
    }.items():
        worst = max((share for share in shares if share is not None), default=0.0)
        if worst > 0:
            causes.append(f"{source} took up to {quantity.percent(worst)} of the cores")
    reasons = dict.fromkeys(block.throttled for block in blocks if block.throttled)
    if reasons:
        causes.append(f"the device was throttled by {', '.join(reasons)}")
    return f" ({'; '.join(causes)})" if causes else ""


def _laps(measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """The cost of taking laps."""
    isolated = [m for m in measured if m.sync_phases]
    if isolated:
        ratios = [m.lapped_per_bare for m in isolated if not math.isnan(m.lapped_per_bare)]
        cost = f" (steps took up to {max(ratios):.2f} times as long)" if ratios else ""
        yield (
            f"--sync-phases synchronizes with the device at every lap {in_cases(isolated)}: a lap "
            f"is a phase's cost in isolation, and lapped / bare shows the cost of synchronizing"
            f"{cost}. samples/s comes from steps without it."
        )
    slowed = [
        m for m in measured if abs(m.lapped_per_bare - 1) > MAX_LAP_COST and not m.sync_phases
    ]
    if slowed:
        worst = max(slowed, key=lambda m: abs(m.lapped_per_bare - 1))
        yield (
            f"Steps with and without laps differ by more than {MAX_LAP_COST * 100:.0f} % "
            f"{in_cases(slowed)} (with / without {worst.lapped_per_bare:.3f} at worst): phases are "
            f"uncertain by as much. samples/s comes from steps without laps."
        )


def _means(run: Run, measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases whose mean and median differ, and the kind or lack of speed-ups."""
    bursty = [
        m for m in measured if not m.sync_phases and abs(_mean_per_median(m) - 1) > MAX_MEAN_OFFSET
    ]
    if bursty:
        yield (
            f"Mean and median step differ by more than {MAX_MEAN_OFFSET * 100:.0f} % "
            f"{in_cases(bursty)}, since some steps wait. samples/s and speed-ups use the mean, "
            f"which counts every step; the column `step` is the median."
        )
    by_median = [
        m for m in measured if m.id in run.speedups and run.speedups[m.id].statistic == "median"
    ]
    if by_median:
        yield (
            f"The speed-up compares median steps {in_cases(by_median)}: with fewer than 3 bare "
            f"blocks, means have no interval; raise --max-time."
        )
    without_speedup = [m for m in measured if m.compiled and m.id not in run.speedups]
    if without_speedup:
        yield f"No speed-up {in_cases(without_speedup)}: the uncompiled case was not measured."


def _cuda_graphs(measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases in which torch did not use a CUDA graph."""
    skipping = [m for m in measured if m.compile_value(lambda c: c.cuda_graph_skips) > 0]
    if skipping:
        yield (
            f"Torch skipped CUDA graphs {in_cases(skipping)}: the code in question ran without "
            f"them. TORCH_LOGS=cudagraphs prints the reasons."
        )


def _mean_per_median(measurement: Measurement) -> float:
    """The mean step (that of samples/s) divided by the median step; 1 if there is no median."""
    if not measurement.step.value > 0:
        return 1.0
    return measurement.mean_step.value / measurement.step.value


def _peaks(run: Run, measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases that exceed the device's measured peak throughput."""
    above = [m for m in measured if run.share_of_peak(m) > 1]
    if above:
        worst = quantity.percent(max(run.share_of_peak(m) for m in above))
        yield (
            f"More than this machine's peak throughput {in_cases(above)} (up to {worst} of it): "
            f"the peak was measured too low, so shares of it are too high."
        )
