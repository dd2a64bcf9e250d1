"""What is no matter of noise: counts that are exact, and sizes where every pair agrees."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stepbench_reports.regression.records import CONFIRM, SCREEN, SIDES, Check
from stepbench_reports.regression.screening import MOST_FAILURES
from stepbench_reports.regression.statistics import LEAST_PAIRS
from stepbench_reports.regression.verdict import Verdict
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


@dataclass(frozen=True)
class Fact:
    """Something that differs between the sides, and that is not a matter of noise.

    Attributes:
        case: The case's id.
        what: What it is about, in a word or two.
        verdict: `regression` or `improvement`.
        sentence: What differs.
    """

    case: str
    what: str
    verdict: Verdict
    sentence: str


def failing(check: Check) -> tuple[Fact, ...]:
    """Cases that only head fails in."""
    found = [(each["case"], each["reason"]) for each in check.question["failing"]]
    found += [
        (fact["case"], fact["head"])
        for fact in check.found("alone")
        if fact["head"] is not None and fact["base"] is None
    ]
    return tuple(
        Fact(case, "fails", Verdict.REGRESSION, f"works in base and fails in head: {reason}")
        for case, reason in found
    )


def failed_in_pairs(check: Check) -> tuple[str, ...]:
    """The cases that are given up since a side failed: each side is to be tried alone."""
    count = Counter(failure.case for failure in check.failures)
    return tuple(case for case in check.cases if count[case] >= MOST_FAILURES)


def exact(check: Check, cases: Sequence[str]) -> Iterator[Fact]:
    """Parity, graph breaks and recompilations."""
    for fact in check.found("parity"):
        base, head = fact.get("base"), fact["head"]
        if head == "fail" and base == "pass":
            sentence = f"base trains as it should, and head does not: {fact['reason']}"
            for case in fact["cases"]:
                yield Fact(case, "parity", Verdict.REGRESSION, sentence)
    for case in cases:
        told = [pair.told for pair in check.pairs if pair.case == case]
        if len(told) < LEAST_PAIRS or not all(each.get("head", {}).get("compile") for each in told):
            continue
        for name, words in COUNTS.items():
            base, head = ({each[side]["compile"][name] for each in told} for side in SIDES)
            # Every pair counts the same on a side, or it is no exact count.
            if len(base) == len(head) == 1 and base != head:
                yield _count(case, words, base.pop(), head.pop())


def _count(case: str, words: str, base: int, head: int) -> Fact:
    verdict = Verdict.REGRESSION if head > base else Verdict.IMPROVEMENT
    return Fact(case, words, verdict, f"{head} {words}, where base has {base}")


def grown(check: Check, cases: Sequence[str]) -> Iterator[Fact]:
    """Memory, and the time that compiling takes: where every pair agrees beyond a margin."""
    for case in cases:
        pairs = [*check.kept(case, SCREEN), *check.kept(case, CONFIRM)]
        pairs = [pair for pair in pairs if pair.told]
        for name, words in _SIZES.items():
            sizes = [[float(pair.told[side].get(name) or 0) for side in SIDES] for pair in pairs]
            if len(sizes) < LEAST_PAIRS:
                continue
            verdict = _agreed(sizes, MEMORY_MARGIN, MEMORY_BYTES)
            if verdict is not None:
                base, head = (min(each[side] for each in sizes) for side in (0, 1))
                yield Fact(
                    case,
                    words,
                    verdict,
                    f"{words} went from {quantity.mebibytes(base)} to "
                    f"{quantity.mebibytes(head)} MiB, in each of {len(sizes)} pairs",
                )
    for fact in check.found("compile"):
        times = fact["seconds"]
        verdict = _agreed(times, COMPILE_MARGIN, COMPILE_S)
        if verdict is not None and len(times) >= COMPILE_PAIRS:
            base, head = (sorted(each[side] for each in times)[len(times) // 2] for side in (0, 1))
            yield Fact(
                fact["case"],
                "compile time",
                verdict,
                f"compiling from an empty cache went from {quantity.seconds(base)} to "
                f"{quantity.seconds(head)}, in each of {len(times)} pairs",
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
