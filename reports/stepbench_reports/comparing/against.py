"""Compares a run with others: which cases became faster or slower, and what else differs.

Cases are paired by their values on every axis. A ratio above 1 means that this run is faster.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import asdict

from stepbench_reports.analysis.stats import Interval, geometric_mean, point
from stepbench_reports.read.axis_values import axes_key
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.ratio import unpaired_ratio
from stepbench_reports.read.run import Run
from stepbench_reports.wording import doubts, quantity, summary
from stepbench_reports.wording.markup import escaped, grid
from stepbench_reports.wording.with_noun import with_noun

AGAINST_BYTES = 40_000
"""The maximum size of the table's rows, bytes."""
MAX_LISTED = 10
"""The maximum number of cases measured in one run only that are listed."""
NOT_PAIRED = (
    "The runs were measured at different times: the ratios also contain what the machine did in "
    "between. To decide whether a change made training slower, use `stepbench regression`."
)
_MACHINE = ("cpu", "usable_cores", "memory_bytes", "devices")
"""The facts that identify a machine: if one differs, the machines differ."""
_SOFTWARE = ("system", "python")


@dataclass(frozen=True)
class CasePair:
    """A case that both runs have measured.

    Attributes:
        case: The case in this run.
        other: The same case in the other run.
        ratio: Samples/s in `case` divided by those in `other`; not paired.
    """

    case: Measurement
    other: Measurement
    ratio: Interval

    @property
    def failed(self) -> bool:
        """True if either case failed parity, so that their speeds are not comparable."""
        return self.case.parity.failed or self.other.parity.failed

    @property
    def counts(self) -> bool:
        """True if comparisons include both cases."""
        return self.case.counts and self.other.counts


@dataclass(frozen=True)
class Against:
    """A comparison of two runs.

    Attributes:
        run: The run.
        other: The run that `run` is compared with.
        pairs: The cases that both runs have measured, in the order of `run`.
        only_run: The cases that only `run` has measured.
        only_other: The cases that only `other` has measured.
        differences: Differences in machine, packages, settings and sampling, a sentence each.
        machines_differ: True if the machines differ, so that the ratios compare machines.
    """

    run: Run
    other: Run
    pairs: tuple[CasePair, ...]
    only_run: tuple[Measurement, ...]
    only_other: tuple[Measurement, ...]
    differences: tuple[str, ...]
    machines_differ: bool

    @property
    def mean_ratio(self) -> float:
        """The geometric mean of the ratios of `counted`; NaN if there are none."""
        ratios = [pair.ratio.value for pair in self.counted]
        return geometric_mean(ratios) if ratios else math.nan

    @property
    def counted(self) -> list[CasePair]:
        """The pairs that the mean includes: without failed parity or interference."""
        return [pair for pair in self.pairs if pair.counts]


def against(run: Run, other: Run) -> Against:
    """Compares two runs case by case."""
    cases = {axes_key(m.axes): m for m in run.measured}
    other_cases = {axes_key(m.axes): m for m in other.measured}
    pairs = tuple(_pair(m, other_cases[key]) for key, m in cases.items() if key in other_cases)
    return Against(
        run,
        other,
        pairs,
        tuple(m for key, m in cases.items() if key not in other_cases),
        tuple(m for key, m in other_cases.items() if key not in cases),
        tuple(differences(run, other)),
        any(_machine(run).get(name) != _machine(other).get(name) for name in _MACHINE),
    )


def _machine(run: Run) -> Mapping[str, object]:
    """The known facts of a run's machine and system software, by name."""
    facts = run.facts.machine
    values = {} if facts is None else asdict(facts)
    return {name: values[name] for name in (*_MACHINE, *_SOFTWARE) if values.get(name)}


def _pair(case: Measurement, other: Measurement) -> CasePair:
    return CasePair(case, other, unpaired_ratio(case, other))


def differences(run: Run, other: Run) -> Iterator[str]:
    """Yields a sentence for each difference in machine, packages, settings and sampling."""
    parts: tuple[tuple[Mapping[str, object], Mapping[str, object]], ...] = (
        (_machine(run), _machine(other)),
        (run.facts.packages, other.facts.packages),
        (asdict(run.facts.settings), asdict(other.facts.settings)),
        (asdict(run.facts.sampling), asdict(other.facts.sampling)),
    )
    for values, other_values in parts:
        for name in dict.fromkeys([*values, *other_values]):
            if values.get(name) != other_values.get(name):
                yield (
                    f"{name.replace('_', ' ')}: {_text(values.get(name))}; "
                    f"other run: {_text(other_values.get(name))}"
                )


def _text(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return str(value)


# --- formatting ----------------------------------------------------------------------------------


def name(run: Run) -> str:
    """A run's id (also if it was opened as `latest`); its directory's name if no id is recorded."""
    return run.facts.id or run.path.name


def headline(comparison: Against) -> str:
    """Summarizes a comparison in a sentence or two."""
    if not comparison.pairs:
        return "No case was measured in both runs."
    counted = comparison.counted
    failed = sum(pair.failed for pair in comparison.pairs)
    parts = [f"{failed} with failed parity"] if failed else []
    interference = len(comparison.pairs) - len(counted) - failed
    parts += [f"{interference} with interference"] if interference else []
    left_out = f" ({', '.join(parts)} left out)" if parts else ""
    lead = "Different machines: " if comparison.machines_differ else ""
    mean = quantity.times(point(comparison.mean_ratio))
    clause = f", {mean} as fast in the geometric mean" if mean else ""
    return f"{lead}{with_noun(len(comparison.pairs), 'case')} in both{clause}{left_out}."


def markdown(run: Run, others: Sequence[Run]) -> str:
    """Formats a comparison of a run with others as Markdown, for a pull request."""
    if len(others) > 1:
        return _trend(run, others)
    comparison = against(run, others[0])
    lines = [
        f"### stepbench: {escaped(name(run))} against {escaped(name(comparison.other))}",
        "",
        f"**{escaped(headline(comparison))}**",
        "",
    ]
    lines += [f"> {NOT_PAIRED}", ""]
    if comparison.machines_differ:
        lines += ["> The machines differ, so the ratios compare machines as well as code.", ""]
    lines += [f"- {escaped(difference)}" for difference in comparison.differences] or [
        "Machine, packages and settings are the same."
    ]
    lines.append("")
    rows = [
        [
            escaped(summary.name(run, pair.case)),
            quantity.rate(pair.other.samples_per_s),
            quantity.rate(pair.case.samples_per_s),
            f"~~{quantity.times_range(pair.ratio)}~~"
            if pair.failed
            else quantity.times_range(pair.ratio),
            _remark(pair),
        ]
        for pair in comparison.pairs
    ]
    if rows:
        headings = ["case", "other, samples/s", "this, samples/s", "ratio", ""]
        table = grid(headings, "lrrrl", rows, AGAINST_BYTES)
        lines += table.lines
        if table.left_out:
            lines += ["", f"_{table.left_out} more cases are not shown._"]
    for which, cases in (
        ("this run", comparison.only_run),
        ("the other run", comparison.only_other),
    ):
        if cases:
            lines += ["", f"Only in {which}: {escaped(_ids(cases))}."]
    return "\n".join(lines) + "\n"


def _remark(pair: CasePair) -> str:
    """Why the mean leaves the pair out; empty if it does not."""
    if pair.failed:
        return "fails parity"
    return "" if pair.counts else f"{doubts.MARK} interference"


def _ids(measurements: Sequence[Measurement]) -> str:
    ids = [m.id for m in measurements]
    more = f" and {len(ids) - MAX_LISTED} more" if len(ids) > MAX_LISTED else ""
    return ", ".join(ids[:MAX_LISTED]) + more


def _trend(run: Run, others: Sequence[Run]) -> str:
    """Formats the samples/s of each case over several runs, ordered by their start, as Markdown."""
    runs = sorted([run, *others], key=lambda measured_run: measured_run.facts.started)
    cases_by_run = [{axes_key(m.axes): m for m in measured_run.measured} for measured_run in runs]
    keys = list(dict.fromkeys(key for cases in cases_by_run for key in cases))
    rows = []
    for key in keys:
        in_runs = [cases.get(key) for cases in cases_by_run]
        first, last = (next((m for m in order if m), None) for order in (in_runs, in_runs[::-1]))
        assert first is not None  # noqa: S101  # `key` is from one of the runs
        assert last is not None  # noqa: S101
        change = unpaired_ratio(last, first)
        rows.append(
            [
                escaped(first.id),
                *("" if m is None else quantity.rate(m.samples_per_s) for m in in_runs),
                "" if last is first else quantity.times_range(change),
            ]
        )
    headings = ["case", *(escaped(name(measured_run)) for measured_run in runs), "last / first"]
    table = grid(headings, "l" + "r" * (len(runs) + 1), rows, AGAINST_BYTES)
    lead = [f"### stepbench: trend over {len(runs)} runs", "", f"> {NOT_PAIRED}", ""]
    if any(against(measured_run, runs[0]).machines_differ for measured_run in runs[1:]):
        lead += ["> The machines differ, so the rates compare machines as well as code.", ""]
    left_out = ["", f"_{table.left_out} more cases are not shown._"] if table.left_out else []
    return "\n".join([*lead, "samples/s, oldest run first:", "", *table.lines, *left_out]) + "\n"
