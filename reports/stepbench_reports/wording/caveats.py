"""Caveats about a run's figures, a sentence each."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.machine_use import BlockNoise
from stepbench_reports.schema.stop_reason import StopReason
from stepbench_reports.wording import doubts, hosts, parity, quantity, summary
from stepbench_reports.wording.with_noun import with_noun

MAX_LAP_COST = 0.02
"""The largest relative difference of steps with and without laps that needs no caveat."""
MAX_SLOWDOWN = 3.0
"""The ratio of slow turns' steps to fast ones' above which `--threads 1` is recommended."""
MAX_HOURS = 1.0
"""The longest time between the measurements of two cases that needs no caveat, hours."""
MAX_SPEED_SPREAD = 0.10
"""The largest spread of the machine's own speed that needs no caveat."""
MIN_QUOTA_STOPPED = 0.02
"""The share of a turn's time for which a CPU quota stopped the case, above which it is told."""
MAX_MEAN_OFFSET = 0.10
"""The largest relative difference of mean and median step that needs no caveat."""

_InCases = Callable[[Sequence[Measurement]], str]
"""Names cases at the end of a sentence: `in b4, b32`."""


def caveats(run: Run) -> list[str]:
    """All caveats about the run's figures, the most important first.

    Those on which something can be done end with what to type.
    """
    measured = run.measured
    names = summary.varying(run)

    def in_cases(cases: Sequence[Measurement]) -> str:
        if len(cases) > summary.MAX_NAMED or not names:
            return f"in {with_noun(len(cases), 'case')}"
        return "in " + ", ".join(summary.name(run, m) for m in cases)

    return [
        *_parity(run),
        *hosts.slow(run),
        *hosts.unlinked(run),
        *_interference(measured, in_cases),
        *_controls(run, measured, in_cases),
        *_precision(run, measured, in_cases),
        *_waiting_threads(measured, in_cases),
        *_two_estimates(run, measured),
        *_quota(measured, in_cases),
        *_device_processes(measured, in_cases),
        *_left_out(measured),
        *_speed(run),
        *_laps(measured, in_cases),
        *_means(run, measured, in_cases),
        *_cuda_graphs(measured, in_cases),
        *_left_behind(run.measurements, in_cases),
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
        named = (
            ", ".join(names) if len(names) <= summary.MAX_NAMED else with_noun(len(names), "case")
        )
        yield f"Parity of {named}: {sentence}."


def _several_generations(cases: Sequence[Measurement]) -> str:
    """The remedy for cases that have a single generation, as a sentence."""
    if any(m.script is not None and m.script.unchanged for m in cases) and len(cases) == 1:
        return "A script by itself runs once; --set NAME=VALUES starts it several times."
    return "Leave out --steps, or raise --generations."


def _precision(run: Run, measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Comparisons that are imprecise or not paired, and warm-ups that ended too early."""
    target = run.facts.sampling.rel_error
    widths = {
        case_id: speedup.interval.relative_half_width for case_id, speedup in run.speedups.items()
    }
    imprecise = [
        m for m in measured if m.stopped is StopReason.TIME and widths.get(m.id, 0.0) > target
    ]
    if imprecise:
        worst = quantity.plus_minus(max(widths[m.id] for m in imprecise))
        yield (
            f"Speed-ups less precise than the target of ±{quantity.exact_percent(target)} "
            f"{in_cases(imprecise)} ({worst} at worst): the time limit was reached; raise "
            f"--max-time."
        )
    silent = [m for m in measured if m.stopped is StopReason.SILENT]
    if silent:
        yield (
            f"Measuring ended early {in_cases(silent)}: a process sent nothing for "
            f"{run.facts.sampling.deadline_s:g} s after generations that were complete, which "
            f"count. If it was at work, raise --deadline; if it waited for good, training may, too."
        )
    vague = [m for m in measured if doubts.is_vague(run, m)]
    if vague:
        yield (
            f"{quantity.DASH} stands for what cannot be told {in_cases(vague)}: generations differ "
            f"so much that the interval says nothing. {doubts.quieter(vague)}"
        )
    alone = [m for m in measured if len(m.generations) < 2]
    if alone:
        yield (
            f"No interval {in_cases(alone)}: a single generation does not show how far figures "
            f"differ by chance. {_several_generations(alone)}"
        )
    yield from _times_apart(run, measured, in_cases)
    unpaired = _unpaired(run, measured)
    if unpaired:
        yield (
            f"Comparisons {in_cases(unpaired)} are not paired: the cases did not take turns with "
            f"the others, and the machine's drift between them is in the ratios. Measure them in "
            f"one run, without --one-at-a-time."
        )
    unsteady = [m for m in measured if m.findings is not None and not m.findings.warmup.steady]
    if unsteady:
        yield (
            f"No steady state after warm-up {in_cases(unsteady)}: steps may still have become "
            f"faster. Measure longer: {doubts.longer(run)}."
        )


def _unpaired(run: Run, measured: Sequence[Measurement]) -> list[Measurement]:
    """Cases that took turns with no other case, or not with their uncompiled one."""
    speedups = run.speedups
    return [
        m
        for m in measured
        if (len(measured) > 1 and m.generations and run.is_alone(m))
        or (m.id in speedups and not speedups[m.id].paired)
    ]


def _times_apart(run: Run, measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases that were measured long after the first one, in a run that was resumed."""
    apart = [
        m
        for m in measured[1:]
        if _hours(measured[0], m) > MAX_HOURS and not run.ratio_of(m, measured[0]).paired
    ]
    if apart:
        hours = max(_hours(measured[0], m) for m in apart)
        yield (
            f"Measurements {in_cases(apart)} lie up to {hours:,.0f} hours from the first case's "
            f"(--resume), and comparisons between them contain what changed on the machine "
            f"meanwhile. A new run measures all in turns."
        )


def _hours(a: Measurement, b: Measurement) -> float:
    """The hours between the measurements of two cases; NaN if unknown."""
    if a.ended is None or b.ended is None:
        return math.nan
    return abs((a.ended - b.ended).total_seconds()) / 3600


def _interference(measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases of which too few turns are left."""
    noisy = [m for m in measured if m.interference]
    if noisy:
        yield (
            f"{doubts.MARK} Interference {in_cases(noisy)}: more than half of the "
            f"turns were left out{_causes(noisy)}, so no comparison includes these cases. "
            f"{doubts.quieter(noisy)}"
        )


def _left_out(measured: Sequence[Measurement]) -> Iterator[str]:
    """Turns that were left out or suspended."""
    watched = [m for m in measured if m.checked_blocks > 0]
    discarded = sum(m.discarded_blocks for m in watched)
    if discarded:
        blocks = sum(m.checked_blocks for m in watched)
        yield (
            f"{discarded:,.0f} of {blocks:,.0f} turns were left out: their threads waited for a "
            f"core for longer than is usual for the case, something was compiled, or the device "
            f"was throttled."
        )
    suspended = Counter(
        block.suspended
        for m in watched
        if m.findings is not None
        for block in m.findings.noise.blocks
        if block.suspended is not None
    )
    if suspended:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in suspended.items())
        yield f"{suspended.total():,} turns were suspended, and are in no figure: {reasons}."


def _speed(run: Run) -> Iterator[str]:
    """The spread of the machine's own speed."""
    if run.speed_spread > MAX_SPEED_SPREAD:
        yield (
            f"The machine's own speed varied by {quantity.plus_minus(run.speed_spread)} between "
            f"turns, by a fixed piece of work beside each. Paired ratios allow for it; other "
            f"figures hold for the machine as it was."
        )


def _quota(measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases that a container's CPU quota stopped."""
    turns = {
        m.id: [(block.quota_stopped or 0.0) > MIN_QUOTA_STOPPED for block in _blocks(m)]
        for m in measured
    }
    stopped = [m for m in measured if any(turns[m.id])]
    if stopped:
        count = sum(sum(turns[m.id]) for m in stopped)
        total = sum(len(turns[m.id]) for m in stopped)
        yield (
            f"The container's CPU quota stopped the threads {in_cases(stopped)} in {count:,} of "
            f"{total:,} turns. Lower --threads or --num-workers, or raise the quota."
        )


def _device_processes(measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Cases beside which other processes used the GPU."""
    most = {m.id: max((b.device_processes or 0 for b in _blocks(m)), default=0) for m in measured}
    beside = [m for m in measured if most[m.id]]
    if beside:
        count = max(most.values())
        processes = "1 other process" if count == 1 else f"up to {count} other processes"
        yield (
            f"The GPU was shared with {processes} {in_cases(beside)}: what they took is in the "
            f"figures."
        )


def _blocks(measurement: Measurement) -> tuple[BlockNoise, ...]:
    findings = measurement.findings
    return () if findings is None else findings.noise.blocks


def _two_estimates(run: Run, measured: Sequence[Measurement]) -> Iterator[str]:
    """Speed-ups that depend on the turns that were left out."""
    texts = [
        f"{summary.name(run, m)} {quantity.times(speedup.as_it_ran)} as it ran, "
        f"{quantity.times(speedup.interval)} without interference"
        for m in measured
        if (speedup := run.speedups.get(m.id)) is not None and speedup.estimates_differ
    ]
    if texts:
        more = len(texts) - summary.MAX_NAMED
        named = texts[: summary.MAX_NAMED] + (
            [f"and {with_noun(more, 'case')} more"] if more > 0 else []
        )
        yield (f"Interference changed speed-ups by more than their intervals: {'; '.join(named)}.")


def _controls(run: Run, measured: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Speed-ups whose control differs."""
    doubtful = [m for m in measured if run.doubtful(m.id)]
    if doubtful:
        effects = [abs(run.controls[m.id].effect.value) for m in doubtful]
        yield (
            f"{doubts.MARK} Speed-ups {in_cases(doubtful)} are doubtful: the time of making "
            f"batches, which compiling cannot touch, differs by {quantity.percent(max(effects))} "
            f"of the step{' at worst' * (len(doubtful) > 1)}. Measure again with "
            f"{doubts.more_generations(run)}."
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
            f"had no core. {doubts.one_thread(slowed)} needs one core only."
        )


def _left_behind(measurements: Sequence[Measurement], in_cases: _InCases) -> Iterator[str]:
    """Processes that outlived their case, and might have disturbed the others."""
    leaving = [m for m in measurements if m.left_behind]
    if leaving:
        names = ", ".join(sorted({name for m in leaving for name in m.left_behind}))
        most = max(sum(m.left_behind.values()) for m in leaving)
        yield (
            f"Processes were still running at the end of their case {in_cases(leaving)} (at most "
            f"{most}: {names}), and were ended. A workload should end what it starts."
        )


def _causes(noisy: Sequence[Measurement]) -> str:
    """The worst interference in turns that were left out: its causes and shares of the cores."""
    blocks = [block for m in noisy for block in _blocks(m) if not block.kept]
    causes = []
    for source, shares in {
        "other processes": [block.others for block in blocks],
        "the hypervisor": [block.steal for block in blocks],
    }.items():
        worst = max((share for share in shares if share is not None), default=0.0)
        if worst > 0:
            causes.append(f"{source} took up to {quantity.percent(worst)} of the cores")
    stopped = max((block.quota_stopped or 0.0 for block in blocks), default=0.0)
    if stopped > 0:
        share = quantity.percent(stopped)
        causes.append(f"the container's CPU quota stopped threads for up to {share} of the time")
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
            f"which counts every step; the column of steps is the median."
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
