"""What is no matter of noise: counts that are exact, and sizes where every pair agrees."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from stepbench_reports.regression.records import Check, Pair
from stepbench_reports.regression.screening import MOST_FAILURES
from stepbench_reports.regression.statistics import LEAST_PAIRS
from stepbench_reports.schema.check import (
    CONFIRM,
    SCREEN,
    SIDES,
    AloneFact,
    CompileFact,
    ParityFact,
)
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.verdict import Difference, Verdict
from stepbench_reports.wording import quantity

MEMORY_MARGIN, MEMORY_BYTES = 0.05, 16 * 2**20
"""Memory has grown where it did by more than both in every pair."""
COMPILE_MARGIN, COMPILE_S = 0.25, 1.0
"""Compiling takes longer where it did by more than both in every pair."""
COMPILE_PAIRS = 3
"""How many pairs of compilations from an empty cache that takes."""
COUNTS: Mapping[str, str] = {"graph_breaks": "graph breaks", "recompiles": "recompilations"}
_SIZES: Mapping[str, str] = {
    "host_peak_bytes": "peak memory of the host",
    "device_peak_bytes": "peak memory of the device",
}


def failing(check: Check) -> tuple[Difference, ...]:
    """Cases that only head fails in."""
    found = [(each.case, each.reason) for each in check.spec.failing]
    found += [
        (fact.case, fact.head)
        for fact in check.found(AloneFact)
        if fact.head is not None and fact.base is None
    ]
    return tuple(
        Difference(
            case=case,
            what="fails",
            verdict=Verdict.REGRESSION,
            sentence=f"works in base and fails in head: {reason}",
        )
        for case, reason in found
    )


def failed_in_pairs(check: Check) -> tuple[str, ...]:
    """The cases that are given up since a side failed: each side is to be tried alone."""
    count = Counter(failure.case for failure in check.failures)
    return tuple(case for case in check.cases if count[case] >= MOST_FAILURES)


def exact(check: Check, cases: Sequence[str]) -> Iterator[Difference]:
    """Parity, graph breaks and recompilations."""
    for fact in check.found(ParityFact):
        if fact.head == "fail" and fact.base == "pass":
            sentence = f"base trains as it should, and head does not: {fact.reason}"
            for case in fact.cases:
                yield Difference(
                    case=case, what="parity", verdict=Verdict.REGRESSION, sentence=sentence
                )
    for case in cases:
        compiled = [_compiled(pair) for pair in check.pairs if pair.case == case]
        if len(compiled) < LEAST_PAIRS:
            continue
        known = [each for each in compiled if each is not None]
        if len(known) < len(compiled):
            continue
        for name, words in COUNTS.items():
            base, head = ({getattr(each[side], name) for each in known} for side in (0, 1))
            # Every pair counts the same on a side, or it is no exact count.
            if len(base) == len(head) == 1 and base != head:
                yield _count(case, words, base.pop(), head.pop())


def _compiled(pair: Pair) -> tuple[Compilation, Compilation] | None:
    """What base and head compiled in a pair; `None` where a side did not, or did not say."""
    base, head = (pair.sides[side].compile if side in pair.sides else None for side in SIDES)
    return None if base is None or head is None else (base, head)


def _count(case: str, words: str, base: int, head: int) -> Difference:
    return Difference(
        case=case,
        what=words,
        verdict=Verdict.REGRESSION if head > base else Verdict.IMPROVEMENT,
        sentence=f"{head} {words}, where base has {base}",
    )


def grown(check: Check, cases: Sequence[str]) -> Iterator[Difference]:
    """Memory, and the time that compiling takes: where every pair agrees beyond a margin."""
    for case in cases:
        yield from _grown_memory(check, case)
    for fact in check.found(CompileFact):
        times = fact.seconds
        verdict = _agreed(times, COMPILE_MARGIN, COMPILE_S)
        if verdict is not None and len(times) >= COMPILE_PAIRS:
            base, head = (sorted(each[side] for each in times)[len(times) // 2] for side in (0, 1))
            yield Difference(
                case=fact.case,
                what="compile time",
                verdict=verdict,
                sentence=f"compiling from an empty cache went from {quantity.seconds(base)} to "
                f"{quantity.seconds(head)}, in each of {len(times)} pairs",
            )


def _grown_memory(check: Check, case: str) -> Iterator[Difference]:
    pairs = [*check.kept(case, SCREEN), *check.kept(case, CONFIRM)]
    ends = [[pair.sides[side] for side in SIDES] for pair in pairs if {*SIDES} <= {*pair.sides}]
    for name, words in _SIZES.items():
        sizes = [[float(getattr(end, name) or 0) for end in both] for both in ends]
        if len(sizes) < LEAST_PAIRS:
            continue
        verdict = _agreed(sizes, MEMORY_MARGIN, MEMORY_BYTES)
        if verdict is not None:
            base, head = (min(each[side] for each in sizes) for side in (0, 1))
            yield Difference(
                case=case,
                what=words,
                verdict=verdict,
                sentence=f"{words} went from {quantity.mebibytes(base)} to "
                f"{quantity.mebibytes(head)} MiB, in each of {len(sizes)} pairs",
            )


def agreed_so_far(times: Sequence[Sequence[float]]) -> bool:
    """Whether all pairs of compilations so far differ by more than the margin, in one direction."""
    return _agreed(times, COMPILE_MARGIN, COMPILE_S) is not None


def _agreed(pairs: Sequence[Sequence[float]], margin: float, least: float) -> Verdict | None:
    """Whether head is larger in every pair by more than a share and an amount, or smaller."""
    if all(head > base * (1 + margin) and head > base + least for base, head in pairs):
        return Verdict.REGRESSION
    if all(base > head * (1 + margin) and base > head + least for base, head in pairs):
        return Verdict.IMPROVEMENT
    return None
