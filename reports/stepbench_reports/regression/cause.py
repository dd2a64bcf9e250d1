"""Puts the cause of a slowdown into words: phases, operators, lines, and changes."""

from collections.abc import Iterator

from stepbench_reports.regression import table
from stepbench_reports.regression.attribution import Attribution
from stepbench_reports.regression.culprit import MOST, Culprit
from stepbench_reports.schema.cause import CallerLine, ChangedLines
from stepbench_reports.wording import quantity

FOLLOWS = (
    "A phase that follows another one grew by less than a fifth of what that one did: while that "
    "one takes longer, caches are evicted and clocks drop. Fix that one first."
)


def phases(culprit: Culprit) -> str:
    """The phases behind a slowdown with their shares: `96 % of it in forward`."""
    if not culprit.phases:
        return ""
    first, *rest = (f"{quantity.percent(share)} of it in {name}" for name, share in culprit.phases)
    if culprit.phases[0][1] >= MOST:
        return first
    return ", ".join([first, *(text.replace(" of it", "") for text in rest)])


def location(line: CallerLine | None) -> str:
    """A line of the repository: `net.py:42`; empty if there is none."""
    return "" if line is None else f"{line.file}:{line.line}"


def changed(change: ChangedLines) -> str:
    """A change's place: `net.py:42-44`, `net.py:42`, or `net.py, removed after 41`."""
    if change.count == 0:
        return f"{change.file}, removed after line {change.first}"
    last = change.first + change.count - 1
    return f"{change.file}:{change.first}" + (f"-{last}" if change.count > 1 else "")


def title(attribution: Attribution, case: str) -> str:
    """The heading of a case's operators: what the figures are."""
    what = "device work of operators" if attribution.on_device else "operators"
    return f"Traced {what} of {case}, µs per step:"


def microseconds(seconds: float) -> str:
    """A growth in microseconds, with its sign: `+200`."""
    return f"{seconds * 1e6:+,.0f}"


def sums(attribution: Attribution) -> Iterator[tuple[str, float]]:
    """The rows below the operators, which make the table add up: name, and seconds per step."""
    yield "other operators", attribution.phase_rest_s
    if attribution.phase is not None:
        yield "other phases", attribution.other_phases_s
    yield "together", attribution.traced_s


def balance(attribution: Attribution) -> str:
    """Compares the operators' growth with the step's, with the reason if they do not agree."""
    step = f"In the pairs, without a trace, the step grew by {microseconds(attribution.step_s)} µs"
    if attribution.adds_up:
        return f"{step}."
    if attribution.on_device:
        return (
            f"{step}: the figures above are the device's work alone, and a step also waits for the "
            f"host, or hides work behind other work."
        )
    if attribution.traced_s > attribution.step_s:
        return f"{step}: a trace makes each call of an operator longer."
    if attribution.traced_s < 0:
        return (
            f"{step}: the few traced steps differ by more than that, and show the opposite; the "
            f"pairs decide."
        )
    return f"{step}: the few traced steps do not show all of it."


def lines(attribution: Attribution) -> Iterator[str]:
    """The operators that grew with the lines that call them, their sum, and changed lines."""
    rows: list[tuple[str, ...]] = [("base", "head", "grew", "")]
    for operator in attribution.operators:
        figures = (f"{seconds * 1e6:,.0f}" for seconds in (operator.base_s, operator.head_s))
        name = f"{operator.phase}  {operator.operator}"
        rows.append((*figures, microseconds(operator.grown_s), name))
        if operator.line is not None:
            rows.append(("", "", "", f"  {location(operator.line)}  {operator.line.code}"))
    rows += [("", "", microseconds(seconds), name) for name, seconds in sums(attribution)]
    yield from table.aligned(rows, "rrrl")
    for number, change in enumerate(attribution.suspects):
        yield f"{'changed' if number else 'first suspect, changed'}: {changed(change)}"
        yield from (f"    {code}" for code in change.code)
