"""The parts of the study of the gate that decide again, from pairs that were recorded.

Every decision is the gate's own code, fed a pair at a time as a check would take them.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gate_live import check_of
from msgspec import structs

from stepbench_reports.regression import decision, screening, statistics
from stepbench_reports.regression.records import Check, Pair
from stepbench_reports.schema.phases import STEP


def pair_of(told: Mapping[str, Any], case: str = "case") -> Pair:
    """A pair from the study's own record."""
    return Pair(case, 0, "screen", told["base"], told["head"], bool(told["disturbed"]))


@dataclass(frozen=True)
class Trial:
    """A check that was decided from recorded pairs.

    Attributes:
        exit: The exit code.
        pairs: How many pairs it took, of each case.
        step: The verdict on the step of the first case.
        blamed: The phase that is blamed, where there is a regression.
        spread: The spread of the first case's step over all its pairs.
        complete: Whether there were pairs enough to come to an end.
    """

    exit: int
    pairs: int
    step: str
    blamed: str | None
    spread: float
    complete: bool


def trial(streams: Sequence[Iterator[Pair]]) -> Trial:
    """Goes through a check whose cases' pairs come from streams, one of each to a round."""
    names = [f"case {number}" for number in range(len(streams))]
    by_name = dict(zip(names, streams, strict=True))
    taken: list[Pair] = []
    complete = True
    for number in itertools.count():
        standing = screening.Screening(_check(names, taken))
        wanted = standing.wanted
        if wanted is None:
            break
        try:
            for name in wanted.cases:
                pair = next(by_name[name])
                taken.append(replace(pair, case=name, round=number, stage=wanted.stage))
        except StopIteration:
            complete = False
            break
    decided = decision.decide(_check(names, taken))
    own = [pair for pair in taken if pair.case == names[0]]
    step = next((each for each in decided.findings if each.row.what == STEP), None)
    blamed = decided.blamed(names[0])
    return Trial(
        decided.exit_code,
        len(own),
        str(None if step is None else step.verdict),
        None if blamed is None else blamed.row.what,
        statistics.spread([pair.changes[STEP] for pair in own]) if own else 0.0,
        complete,
    )


def _check(names: Sequence[str], pairs: Sequence[Pair]) -> Check:
    check = check_of(pairs)
    return replace(check, spec=structs.replace(check.spec, cases=tuple(names)))


def consecutive(pairs: Sequence[Pair]) -> list[Trial]:
    """Checks one after the other, each going on with the pairs where the last one stopped."""
    found: list[Trial] = []
    stream = iter(pairs)
    while True:
        each = trial([stream])
        if not each.complete:
            return found
        found.append(each)


def resampled(pairs: Sequence[Pair], count: int, seed: int = 0) -> list[Trial]:
    """Checks of pairs that are drawn from the recorded ones, with replacement."""
    return _many(_resampled, pairs, count, seed)


def _resampled(pairs: Sequence[Pair], count: int, seed: int) -> list[Trial]:
    draw = np.random.default_rng(seed)

    def stream() -> Iterator[Pair]:
        while True:
            yield pairs[int(draw.integers(len(pairs)))]

    return [trial([stream()]) for _ in range(count)]


def relabelled(pairs: Sequence[Pair], count: int, cases: int, seed: int = 0) -> list[Trial]:
    """Whole checks of recorded pairs in their recorded order, the sides swapped at random.

    Each case's stream begins at a place of its own and goes round.
    """
    return _many(_relabelled, pairs, count, seed, cases)


def _relabelled(pairs: Sequence[Pair], count: int, seed: int, cases: int) -> list[Trial]:
    draw = np.random.default_rng(seed)

    def stream() -> Iterator[Pair]:
        start = int(draw.integers(len(pairs)))
        for pair in itertools.cycle([*pairs[start:], *pairs[:start]]):
            yield replace(pair, base=pair.head, head=pair.base) if draw.integers(2) else pair

    return [trial([stream() for _ in range(cases)]) for _ in range(count)]


def _many(function: Any, pairs: Sequence[Pair], count: int, seed: int, *more: Any) -> list[Trial]:
    """Shares trials out among processes."""
    parts = 20
    with ProcessPoolExecutor() as pool:
        jobs = [
            pool.submit(function, pairs, count // parts, seed * parts + number, *more)
            for number in range(parts)
        ]
        return [each for job in jobs for each in job.result()]


@dataclass(frozen=True)
class Rule:
    """How another tool decides from a run of each side.

    Attributes:
        name: What it is called.
        alarm: Whether it raises one, by the ratio of medians and a Mann-Whitney test's p-value.
    """

    name: str
    alarm: Any


RULES = (
    Rule("`--benchmark-compare-fail=median:3%`", lambda ratio, _: ratio > 1.03),
    Rule("asv: Mann-Whitney at 0.002, factor 1.1", lambda ratio, p: ratio > 1.1 and p < 0.002),
    Rule("a fixed 7 %", lambda ratio, _: ratio > 1.07),
)


def alarms(rule: Rule, found: Sequence[Mapping[str, Any]]) -> int:
    """How many pairs a rule raises an alarm at, disturbed ones too: it cannot tell."""
    return sum(bool(rule.alarm(each["medians"], each["mann_whitney"])) for each in found)
