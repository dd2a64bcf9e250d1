"""The headline: a summary of a run in a few sentences."""

import math
from collections.abc import Sequence

from stepbench_reports.analysis import comparison
from stepbench_reports.analysis.stats import Interval, geometric_mean, ratio_interval
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.axes import workload_label
from stepbench_reports.wording import bottleneck, naming, quantity, summary

ON_A_PAR = 0.02
"""The relative difference below which throughputs count as equal, whatever their intervals."""
_LOOPS = {"train": "in training", "eval": "in evaluation"}


def headline(run: Run) -> str:
    """Names the fastest case, its lead, its bottleneck, and the speed-up by compiling."""
    tried = run.measured
    if not tried:
        return "No case was measured."
    measured = [m for m in tried if not m.parity.lost]
    if not measured:
        return "Every case that was measured trains another model: see its parity."
    # Samples/s are comparable only within one workload, data set and loop (training or evaluation).
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for measurement in measured:
        key = (
            str(measurement.axes.get("workload")),
            str(measurement.axes.get("dataset")),
            _loop(measurement),
        )
        groups.setdefault(key, []).append(measurement)
    sentences = [
        _fastest(group, summary.varying(run), _name(key, list(groups)))
        for key, group in list(groups.items())[: summary.MOST_NAMED]
    ]
    if len(groups) > summary.MOST_NAMED:
        sentences.append(f"{len(groups) - summary.MOST_NAMED} more workloads are in the table.")
    return " ".join([*sentences, *_compiling(run), *_lost(run, tried)])


def _lost(run: Run, tried: Sequence[Measurement]) -> list[str]:
    """The cases that the comparison leaves out because they failed parity."""
    lost = [m for m in tried if m.parity.lost]
    if not lost:
        return []
    if len(lost) > summary.MOST_NAMED:
        return [f"{len(lost)} cases lost parity and do not count."]
    names = ", ".join(summary.name(run, m) for m in lost)
    return [f"Lost parity, and does not count: {names}."]


def _loop(measurement: Measurement) -> str:
    return str(measurement.axes.get("loop", "train"))


def _name(key: tuple[str, str, str], keys: list[tuple[str, str, str]]) -> str:
    """A group's name: those of workload, data set and loop on which the groups differ."""
    workload, dataset, loop = key
    parts = []
    if len({other[0] for other in keys}) > 1:
        parts.append(workload_label(workload))
    if len({other[1] for other in keys if other[0] == workload}) > 1:
        parts.append(f"on {dataset}")
    if len({other[2] for other in keys}) > 1:
        parts.append(_LOOPS.get(loop, loop))
    return " ".join(parts)


def _fastest(group: list[Measurement], names: Sequence[str], name: str) -> str:
    names = [n for n in names if n not in {"workload", "dataset", "loop"}]
    ranked = sorted(group, key=lambda m: m.samples_per_s.value, reverse=True)
    best, worst = ranked[0], ranked[-1]
    bound = bottleneck.clause(best)
    if best is worst:
        return f"{_alone(best, name)} {bound}".rstrip()
    peers = [m for m in ranked[1:] if not _told_apart(best, m)]
    doubt = ", though others disturbed it" if best.disturbed else ""
    speed = f"{quantity.rate(best.samples_per_s)} samples/s{doubt}"
    who = f" {name}" if name.startswith(("in ", "on ")) else f" for {name}" if name else ""
    opening = f"Fastest{who}: {naming.setting(best.axes, names)} ({speed})"
    if len(peers) == len(ranked) - 1:
        return (
            f"{opening}, but none of {len(ranked)} cases stands out beyond its uncertainty. {bound}"
        ).rstrip()
    if len(peers) >= summary.MOST_NAMED:
        opening += f", on a par with {len(peers)} others"
    elif peers:
        known = " and with ".join(naming.setting(m.axes, names) for m in peers)
        opening += f", on a par with {known}"
    ratio = best.samples_per_s.value / worst.samples_per_s.value
    return (
        f"{opening}; {quantity.times(_exact(ratio))} as many as the slowest: "
        f"{naming.setting(worst.axes, names)} ({quantity.rate(worst.samples_per_s)}). {bound}"
    ).rstrip()


def _alone(only: Measurement, name: str) -> str:
    """Describes the only case of a group."""
    width = quantity.uncertainty(only.step.relative_half_width)
    precision = f" (±{width})" if width else ""
    step = f"a step in {quantity.milliseconds(only.step)} ms{precision}"
    longest = max(only.shares, key=lambda phase: only.shares[phase], default=None)
    rest = f", {quantity.percent(only.shares[longest])} of it {longest}" if longest else ""
    doubt = ", though others disturbed it" if only.disturbed else ""
    said = f"{name}: {quantity.rate(only.samples_per_s)} samples/s, {step}{rest}{doubt}."
    return said.removeprefix(": ")


def _told_apart(fast: Measurement, slow: Measurement) -> bool:
    ratio = ratio_interval(_speed(fast), _speed(slow))
    return ratio.low > 1 and ratio.value * (1 - ON_A_PAR) > 1


def _speed(measurement: Measurement) -> Interval:
    """Samples/s with the interval from its blocks or, with too few blocks, the median step's."""
    speed, step = measurement.samples_per_s, measurement.step
    if not math.isnan(speed.low):
        return speed
    if math.isnan(step.low):
        return _exact(speed.value)
    median = comparison.samples_per_s(speed.value * step.value, step)
    return Interval(speed.value, median.low, median.high)


def _compiling(run: Run) -> list[str]:
    """A sentence for each `torch.compile` mode and loop with a speed-up over uncompiled cases."""
    modes: dict[tuple[str, str], list[Interval]] = {}
    for measurement in run.measurements:
        speedup = run.speedups.get(measurement.id)
        if speedup is not None and not measurement.parity.lost:
            key = (str(measurement.axes["compile"]), _loop(measurement))
            modes.setdefault(key, []).append(speedup.ratio)
    several = len({loop for _, loop in modes}) > 1
    return [
        _compiled(mode, f" {_LOOPS.get(loop, loop)}" if several else "", speedups)
        for (mode, loop), speedups in modes.items()
    ]


def _compiled(mode: str, where: str, speedups: list[Interval]) -> str:
    if len(speedups) == 1:
        how = quantity.times_range(speedups[0])
        return f"With torch.compile {mode} the step{where} is {how} as fast as eager."
    ordered = sorted(speedups, key=lambda ratio: ratio.value)
    mean = quantity.times(_exact(geometric_mean([ratio.value for ratio in speedups])))
    return (
        f"With torch.compile {mode} the step{where} is {mean} as fast as eager in the geometric "
        f"mean of {len(speedups)} cases ({quantity.times(ordered[0])} to "
        f"{quantity.times(ordered[-1])})."
    )


def _exact(ratio: float) -> Interval:
    """An interval of width 0, so that a ratio without an interval is shown to hundredths."""
    return Interval(ratio, ratio, ratio)
