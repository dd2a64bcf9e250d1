"""Caveats about a run's figures, a sentence each."""

import math
from collections.abc import Callable, Iterator, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.wording import parity, quantity, summary

MAX_LAP_COST = 0.02
"""The largest relative difference of steps with and without laps that needs no caveat."""
MAX_SLOWDOWN = 3.0
"""The ratio of slow turns' steps to fast ones' above which `--threads 1` is recommended."""
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
        *_waiting_threads(measured, in_cases),
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
    """Comparisons that are imprecise or not paired, and warm-ups that ended too early."""
    target = run.facts.sampling.rel_error
    widths = {
        case_id: speedup.interval.relative_half_width for case_id, speedup in run.speedups.items()
    }
    imprecise = [m for m in measured if m.stopped == "time" and widths.get(m.id, 0.0) > target]
    if imprecise:
        worst = quantity.uncertainty(max(widths[m.id] for m in imprecise))
        yield (
            f"Speed-ups less precise than the target of ±{quantity.exact_percent(target)} "
            f"{in_cases(imprecise)} (±{worst} at worst): the time limit was reached; raise "
            f"--max-time."
        )
    alone = [m for m in measured if len(m.generations) < 2]
    if alone:
        yield (
            f"No interval {in_cases(alone)}: a single generation does not show how far figures "
            f"differ by chance."
        )
    unpaired = [m for m in measured if m.id in run.speedups and not run.speedups[m.id].paired]
    if unpaired:
        yield (
            f"Speed-ups {in_cases(unpaired)} are not paired: the cases did not take turns with "
            f"each other, and the machine's drift between them is in the ratio."
        )
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
            f"{discarded:,.0f} of {blocks:,.0f} turns were left out: their threads waited for a "
            f"core for longer than is usual for the case, something was compiled, or the device "
            f"was throttled."
        )
    noisy = [m for m in measured if m.interference]
    if noisy:
        yield (
            f"{summary.INTERFERENCE_MARK} Interference {in_cases(noisy)}: more than half of the "
            f"turns were left out{_causes(noisy)}, so no comparison includes these cases. Measure "
            f"again on a quieter machine."
        )


def _waiting_threads(measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases whose threads wait for each other at the end of each operator."""
    slowed = [
        m
        for m in measured
        if m.clock == "host"
        and m.findings is not None
        and m.findings.settings.threads > 1
        and m.turns.slowdown() > MAX_SLOWDOWN
    ]
    if slowed:
        worst = max(m.turns.slowdown() for m in slowed)
        yield (
            f"Beside other work on the machine, steps took up to {worst:.0f} times as long "
            f"{in_cases(slowed)}: the threads of an operator wait for each other, and one of them "
            f"had no core. --threads 1 needs one core only."
        )


def _causes(noisy: Sequence[Measurement]) -> str:
    """The worst interference in turns that were left out: its causes and shares of the cores."""
    blocks = [
        block
        for m in noisy
        if m.findings is not None
        for block in m.findings.noise.blocks
        if not block.kept
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
    slowed = [m for m in measured if m.lap_cost.low > 1 + MAX_LAP_COST and not m.sync_phases]
    if slowed:
        worst = max(slowed, key=lambda m: m.lap_cost.value)
        yield (
            f"Laps cost more than {MAX_LAP_COST * 100:.0f} % of a step {in_cases(slowed)} (with / "
            f"without {quantity.times_range(worst.lap_cost)} at worst), so phases are too long by "
            f"as much. samples/s comes from steps without laps."
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
