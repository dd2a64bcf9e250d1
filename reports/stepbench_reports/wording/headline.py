"""The headline: a summary of a run in a few sentences."""

import math
from collections.abc import Sequence

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.ratio import CONFIDENCE, Ratio, mean_ratio
from stepbench_reports.read.run import Run
from stepbench_reports.schema.axis_labels import workload_label
from stepbench_reports.wording import bottleneck, doubts, naming, quantity, summary
from stepbench_reports.wording.with_noun import with_noun

_LOOPS = {"train": "in training", "eval": "in evaluation"}


def headline(run: Run) -> str:
    """Names the fastest case, its lead, its bottleneck, and the speed-up by compiling.

    If that does not hold, the headline begins with the reason, and with what to do.
    """
    measured = run.measured
    if not measured:
        return "No case was measured."
    if all(m.parity.failed for m in measured):
        return "Every measured case fails parity: none trains the same model as eager execution."
    compared = [m for m in measured if m.counts]
    if not compared:
        alone = len(run.measurements) == 1
        sentence = (
            "The figures are in doubt: interference left too few turns"
            if alone
            else "No case is compared: interference left too few turns of each"
        )
        others = " that passes parity" if any(m.parity.failed for m in measured) else ""
        remedy = doubts.quieter(measured)
        return " ".join([f"{sentence}{others}. {remedy}", *_failing(run, measured)])
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
        _fastest(run, cases, _name(key, list(groups)))
        for key, cases in list(groups.items())[: summary.MAX_NAMED]
    ]
    if len(groups) > summary.MAX_NAMED:
        sentences.append(f"{len(groups) - summary.MAX_NAMED} more workloads are in the table.")
    first = list(filter(None, [doubts.first(run)]))
    return " ".join([*first, *sentences, *_compiling(run), *_failing(run, measured)])


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


def _fastest(run: Run, cases: list[Measurement], group_name: str) -> str:
    """Names a group's fastest case, by the axes that vary, and compares it with the others."""
    names = [n for n in summary.varying(run) if n not in {"workload", "dataset", "loop"}]
    ranks = {m.id: run.rank(m) for m in cases}
    linked = [m for m in cases if not math.isnan(ranks[m.id])] or cases
    known = [m for m in linked if len(m.generations) > 1] or linked
    ranked = sorted(known, key=lambda m: ranks[m.id], reverse=True)
    best, worst = ranked[0], ranked[-1]
    clause = bottleneck.clause(best)
    if best is worst:
        only = group_name or (summary.name(run, best) if len(run.measurements) > 1 else "")
        return f"{_single(best, only)} {clause}".rstrip()
    leads = _leads(run, best, ranked[1:])
    if all(math.isnan(lead.interval.low) for lead in leads.values()):
        return (
            f"{group_name or with_noun(len(cases), 'case')}: not compared, since a single "
            f"generation does not show how far figures differ by chance; leave out --steps."
        )
    peers = [m for m in ranked[1:] if not leads[m.id].interval.low > 1]
    if len(peers) == len(ranked) - 1:
        prefix = f"{group_name}: the" if group_name else "The"
        return (
            f"{prefix} {len(ranked)} cases do not clearly differ: {doubts.longer(run)} may tell "
            f"them apart."
        )
    on_host = f" on {best.host}" if run.has_hosts else ""
    speed = f"{quantity.rate(best.samples_per_s)} samples/s{on_host}"
    preposition = "" if group_name.startswith(("in ", "on ")) else "for "
    group_text = f" {preposition}{group_name}" if group_name else ""
    opening = f"Fastest{group_text}: {naming.setting_words(best.axes, names)} ({speed})"
    if len(peers) >= summary.MAX_NAMED:
        opening += f", on a par with {len(peers)} others"
    elif peers:
        others = " and with ".join(naming.setting_words(m.axes, names) for m in peers)
        opening += f", on a par with {others}"
    lead = run.ratio_of(best, worst)
    as_fast = f"{quantity.times_range(lead.interval)} as fast"
    if lead.estimates_differ:
        as_fast += f" without interference ({quantity.times(lead.as_it_ran)} as it ran)"
    slowest = naming.setting_words(worst.axes, names)
    return (
        f"{opening}; {as_fast} as the slowest: "
        f"{slowest} ({quantity.rate(worst.samples_per_s)}). {clause}"
    ).rstrip()


def _leads(run: Run, best: Measurement, others: Sequence[Measurement]) -> dict[str, Ratio]:
    """The ratios of the best case's samples/s to those of each other case, by the other's id.

    All intervals hold together with 95 %, by Bonferroni's inequality: the best was chosen by its
    figures.
    """
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(others))
    return {m.id: run.ratio_of(best, m, confidence=confidence) for m in others}


def _single(case: Measurement, group_name: str) -> str:
    """Describes the only case of a group."""
    width = case.step.relative_half_width
    precision = "" if math.isnan(width) else f" ({quantity.plus_minus(width)})"
    step = f"a step takes {quantity.milliseconds(case.step)} ms{precision}"
    longest = max(case.shares, key=lambda phase: case.shares[phase], default=None)
    share = f", {quantity.percent(case.shares[longest])} of it in {longest}" if longest else ""
    throughput = f"{quantity.rate(case.samples_per_s)} samples/s"
    sentence = f"{group_name}: {throughput}; {step}{share}."
    return sentence.removeprefix(": ")


def _compiling(run: Run) -> list[str]:
    """A sentence for each `torch.compile` mode and loop with a speed-up over uncompiled cases.

    None where every speed-up is doubtful by its control.
    """
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
        if not all(run.doubtful(case.id) for case, _ in pairs)
    ]


def _compiled(
    run: Run, mode: str, in_loop: str, pairs: Sequence[tuple[Measurement, Measurement]]
) -> str:
    ratios = [run.ratio_of(*pair).interval for pair in pairs]
    doubt = " (doubtful: see the note)" if any(run.doubtful(case.id) for case, _ in pairs) else ""
    mean = mean_ratio(pairs, run.linking)
    if quantity.is_vague(mean):
        return (
            f"How fast the step{in_loop} is with torch.compile {mode} cannot be told: generations "
            f"differ too much."
        )
    if len(ratios) == 1:
        times = quantity.times_range(ratios[0])
        return f"With torch.compile {mode} the step{in_loop} is {times} as fast as eager{doubt}."
    told = sorted(
        (ratio for ratio in ratios if not quantity.is_vague(ratio)), key=lambda ratio: ratio.value
    )
    span = f" ({quantity.times(told[0])} to {quantity.times(told[-1])})" if told else ""
    return (
        f"With torch.compile {mode} the step{in_loop} is {quantity.times_range(mean)} as fast as "
        f"eager in the geometric mean of {len(ratios)} cases{span}{doubt}."
    )
