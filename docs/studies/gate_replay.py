"""The parts of the gate study that replay checks from recorded pairs.

The code of the regression check decides, and gets one pair at a time as in a real check.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gate_live import check_of
from msgspec import structs

from stepbench_reports.regression import decision, pair_statistics, screening
from stepbench_reports.regression.records import Check, Pair
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.verdict import CheckOutcome


def pair_of(record: Mapping[str, Any], case: str = "case") -> Pair:
    """A pair from the study's record."""
    return Pair(case, 0, "screen", record["base"], record["head"], bool(record["interference"]))


@dataclass(frozen=True)
class Trial:
    """A check that was decided from recorded pairs.

    Attributes:
        outcome: The check's outcome.
        pairs: The number of pairs of each case.
        step: The verdict on the step of the first case.
        main_phase: The phase that grew most if there is a regression; else `None`.
        spread: The spread of the first case's step over all of the case's pairs.
        complete: True if there were enough pairs to complete the check.
    """

    outcome: CheckOutcome
    pairs: int
    step: str
    main_phase: str | None
    spread: float
    complete: bool


def trial(streams: Sequence[Iterator[Pair]]) -> Trial:
    """Replays a check with a stream of pairs for each case; a round takes a pair of each case."""
    names = [f"case {number}" for number in range(len(streams))]
    by_name = dict(zip(names, streams, strict=True))
    pairs: list[Pair] = []
    complete = True
    for number in itertools.count():
        next_pairs = screening.Screening(_check(names, pairs)).next_pairs
        if next_pairs is None:
            break
        try:
            for name in next_pairs.cases:
                pair = next(by_name[name])
                pairs.append(replace(pair, case=name, round=number, stage=next_pairs.stage))
        except StopIteration:
            complete = False
            break
    decided = decision.decide(_check(names, pairs))
    of_first = [pair for pair in pairs if pair.case == names[0]]
    step = next((finding for finding in decided.findings if finding.row.what == STEP), None)
    main_phase = decided.main_phase(names[0])
    return Trial(
        decided.outcome,
        len(of_first),
        str(None if step is None else step.verdict),
        None if main_phase is None else main_phase.row.what,
        pair_statistics.spread([pair.changes[STEP] for pair in of_first]) if of_first else 0.0,
        complete,
    )


def _check(names: Sequence[str], pairs: Sequence[Pair]) -> Check:
    check = check_of(pairs)
    return replace(check, spec=structs.replace(check.spec, cases=tuple(names)))


def consecutive(pairs: Sequence[Pair]) -> list[Trial]:
    """Replays checks in sequence; each begins with the pair after the last one's."""
    trials: list[Trial] = []
    stream = iter(pairs)
    while True:
        replayed = trial([stream])
        if not replayed.complete:
            return trials
        trials.append(replayed)


def resampled(pairs: Sequence[Pair], count: int, seed: int = 0) -> list[Trial]:
    """Replays checks of pairs that are sampled from the recorded pairs with replacement."""
    return _many(_resampled, pairs, count, seed)


def _resampled(pairs: Sequence[Pair], count: int, seed: int) -> list[Trial]:
    generator = np.random.default_rng(seed)

    def stream() -> Iterator[Pair]:
        while True:
            yield pairs[int(generator.integers(len(pairs)))]

    return [trial([stream()]) for _ in range(count)]


def relabelled(pairs: Sequence[Pair], count: int, cases: int, seed: int = 0) -> list[Trial]:
    """Replays checks of recorded pairs in recorded order, with sides swapped at random.

    Each case's stream starts at a random pair, and continues with the first after the last.
    """
    return _many(_relabelled, pairs, count, seed, cases)


def _relabelled(pairs: Sequence[Pair], count: int, seed: int, cases: int) -> list[Trial]:
    generator = np.random.default_rng(seed)

    def stream() -> Iterator[Pair]:
        start = int(generator.integers(len(pairs)))
        for pair in itertools.cycle([*pairs[start:], *pairs[:start]]):
            yield replace(pair, base=pair.head, head=pair.base) if generator.integers(2) else pair

    return [trial([stream() for _ in range(cases)]) for _ in range(count)]


def _many(function: Any, pairs: Sequence[Pair], count: int, seed: int, *more: Any) -> list[Trial]:
    """Distributes trials over processes."""
    parts = 20
    with ProcessPoolExecutor() as pool:
        jobs = [
            pool.submit(function, pairs, count // parts, seed * parts + number, *more)
            for number in range(parts)
        ]
        return [replayed for job in jobs for replayed in job.result()]


@dataclass(frozen=True)
class Rule:
    """The rule by which another tool compares a run of each side.

    Attributes:
        name: The rule's name.
        alarm: Decides on an alarm from the ratio of medians and a Mann-Whitney p-value.
    """

    name: str
    alarm: Any


RULES = (
    Rule("`--benchmark-compare-fail=median:3%`", lambda ratio, _: ratio > 1.03),
    Rule("asv: Mann-Whitney at 0.002, factor 1.1", lambda ratio, p: ratio > 1.1 and p < 0.002),
    Rule("a fixed 7 %", lambda ratio, _: ratio > 1.07),
)


def alarms(rule: Rule, records: Sequence[Mapping[str, Any]]) -> int:
    """Counts a rule's alarms over pairs; the rule does not know about interference."""
    return sum(bool(rule.alarm(pair["medians"], pair["mann_whitney"])) for pair in records)
