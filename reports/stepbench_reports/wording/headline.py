"""The headline: a summary of a run in a few sentences."""

import math
from collections.abc import Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.ratio import CONFIDENCE, Ratio, mean_ratio, ratio
from stepbench_reports.read.run import Run
from stepbench_reports.schema.axis_labels import workload_label
from stepbench_reports.wording import bottleneck, naming, quantity, summary

_LOOPS = {"train": "in training", "eval": "in evaluation"}


def headline(run: Run) -> str:
    """Names the fastest case, its lead, its bottleneck, and the speed-up by compiling."""
    measured = run.measured
    if not measured:
        return "No case was measured."
    if all(m.parity.failed for m in measured):
        return "Every measured case fails parity: none trains the same model as eager execution."
    compared = [m for m in measured if m.counts]
    if not compared:
        return "No case is compared: interference left too few turns of each."
    # Samples/s are comparable only within one workload, data set and loop (training or evaluation).
    groups: dict[tuple[str, str, str], list[Measurement]] = {}
    for measurement in compared:
        key = (
            str(measurement.axes.get("workload")),
            str(measurement.axes.get("dataset")),
            _loop(measurement),
        )
        groups.setdefault(key, []).append(measurement)
    sentences = [
        _fastest(cases, summary.varying(run), _name(key, list(groups)))
        for key, cases in list(groups.items())[: summary.MAX_NAMED]
    ]
    if len(groups) > summary.MAX_NAMED:
        sentences.append(f"{len(groups) - summary.MAX_NAMED} more workloads are in the table.")
    return " ".join([*sentences, *_compiling(run), *_failing(run, measured)])


def _failing(run: Run, measured: Sequence[Measurement]) -> list[str]:
    """The cases that the comparison leaves out because they failed parity."""
    failed = [m for m in measured if m.parity.failed]
    if not failed:
        return []
    if len(failed) > summary.MAX_NAMED:
        return [f"{len(failed)} cases fail parity and are left out."]
    names = ", ".join(summary.name(run, m) for m in failed)
    return [f"Left out because parity fails: {names}."]


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


def _fastest(cases: list[Measurement], axes: Sequence[str], group_name: str) -> str:
    """Names a group's fastest case, by the axes that vary, and compares it with the others."""
    names = [n for n in axes if n not in {"workload", "dataset", "loop"}]
    ranked = sorted(cases, key=lambda m: m.samples_per_s.value, reverse=True)
    best, worst = ranked[0], ranked[-1]
    clause = bottleneck.clause(best)
    if best is worst:
        return f"{_single(best, group_name)} {clause}".rstrip()
    leads = _leads(best, ranked[1:], cases)
    if all(math.isnan(lead.interval.low) for lead in leads.values()):
        return (
            f"{group_name or summary.cases(len(cases))}: not compared, since a single generation "
            f"does not show how far figures differ by chance; leave out --steps."
        )
    peers = [m for m in ranked[1:] if not leads[m.id].interval.low > 1]
    speed = f"{quantity.rate(best.samples_per_s)} samples/s"
    preposition = "" if group_name.startswith(("in ", "on ")) else "for "
    group_text = f" {preposition}{group_name}" if group_name else ""
    opening = f"Fastest{group_text}: {naming.setting_words(best.axes, names)} ({speed})"
    if len(peers) == len(ranked) - 1:
        return f"{opening}, but the {len(ranked)} cases do not clearly differ. {clause}".rstrip()
    if len(peers) >= summary.MAX_NAMED:
        opening += f", on a par with {len(peers)} others"
    elif peers:
        others = " and with ".join(naming.setting_words(m.axes, names) for m in peers)
        opening += f", on a par with {others}"
    times = quantity.times_range(ratio(best, worst, cases).interval)
    slowest = naming.setting_words(worst.axes, names)
    return (
        f"{opening}; {times} as fast as the slowest: "
        f"{slowest} ({quantity.rate(worst.samples_per_s)}). {clause}"
    ).rstrip()


def _leads(
    best: Measurement, others: Sequence[Measurement], cases: Sequence[Measurement]
) -> dict[str, Ratio]:
    """The ratios of the best case's samples/s to those of each other case, by the other's id.

    All intervals hold together with 95 %, by Bonferroni's inequality: the best was chosen by its
    figures.
    """
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(others))
    return {m.id: ratio(best, m, cases, confidence=confidence) for m in others}


def _single(case: Measurement, group_name: str) -> str:
    """Describes the only case of a group."""
    width = quantity.uncertainty(case.step.relative_half_width)
    precision = f" (±{width})" if width else ""
    step = f"a step takes {quantity.milliseconds(case.step)} ms{precision}"
    longest = max(case.shares, key=lambda phase: case.shares[phase], default=None)
    share = f", {quantity.percent(case.shares[longest])} of it in {longest}" if longest else ""
    throughput = f"{quantity.rate(case.samples_per_s)} samples/s"
    sentence = f"{group_name}: {throughput}; {step}{share}."
    return sentence.removeprefix(": ")


def _compiling(run: Run) -> list[str]:
    """A sentence for each `torch.compile` mode and loop with a speed-up over uncompiled cases."""
    modes: dict[tuple[str, str], list[tuple[Measurement, Measurement]]] = {}
    for case_id, eager in run.uncompiled.items():
        compiled = run.case(case_id)
        if compiled.counts and eager.counts:
            key = (str(compiled.axes["compile"]), _loop(compiled))
            modes.setdefault(key, []).append((compiled, eager))
    several_loops = len({loop for _, loop in modes}) > 1
    return [
        _compiled(run, mode, f" {_LOOPS.get(loop, loop)}" if several_loops else "", pairs)
        for (mode, loop), pairs in modes.items()
    ]


def _compiled(
    run: Run, mode: str, in_loop: str, pairs: Sequence[tuple[Measurement, Measurement]]
) -> str:
    ratios = [run.ratio_of(*pair).interval for pair in pairs]
    if len(ratios) == 1:
        times = quantity.times_range(ratios[0])
        return f"With torch.compile {mode} the step{in_loop} is {times} as fast as eager."
    ordered = sorted(ratios, key=lambda ratio: ratio.value)
    mean = quantity.times_range(mean_ratio(pairs))
    return (
        f"With torch.compile {mode} the step{in_loop} is {mean} as fast as eager in the geometric "
        f"mean of {len(ratios)} cases ({quantity.times(ordered[0])} to "
        f"{quantity.times(ordered[-1])})."
    )
