"""Differences that noise cannot explain: failures, exact counts, and growth in every pair."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from stepbench_reports.regression.pair_statistics import MIN_PAIRS
from stepbench_reports.regression.records import Check, Pair
from stepbench_reports.regression.screening import MAX_FAILURES
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
"""Peak memory grew if it grew by more than this share and these bytes in every pair."""
COMPILE_MARGIN, COMPILE_S = 0.25, 1.0
"""Compile time grew if it grew by more than this share and these seconds in every pair."""
COMPILE_PAIRS = 3
"""The fewest pairs of compilations from an empty cache that decide on compile time."""
COUNTS: Mapping[str, str] = {
    "graph_breaks": "graph breaks",
    "recompiles": "recompilations",
    "cuda_graph_skips": "skipped CUDA graphs",
}
_SIZES: Mapping[str, str] = {
    "host_peak_bytes": "peak memory of the host",
    "device_peak_bytes": "peak memory of the device",
}
_VERBS: Mapping[Verdict, str] = {Verdict.REGRESSION: "rose", Verdict.IMPROVEMENT: "fell"}


def failing(check: Check) -> tuple[Difference, ...]:
    """A regression for each case that fails in head and works in base."""
    failing = [(case.case, case.reason) for case in check.spec.failing]
    failing += [
        (fact.case, fact.head)
        for fact in check.facts_of(AloneFact)
        if fact.head is not None and fact.base is None
    ]
    return tuple(
        Difference(
            case=case,
            what="fails",
            verdict=Verdict.REGRESSION,
            sentence=f"works in base and fails in head: {reason}",
        )
        for case, reason in failing
    )


def failed_in_pairs(check: Check) -> tuple[str, ...]:
    """The cases excluded because their pairs failed; each side is then run alone."""
    count = Counter(failure.case for failure in check.failures)
    return tuple(case for case in check.cases if count[case] >= MAX_FAILURES)


def exact(check: Check, cases: Sequence[str]) -> Iterator[Difference]:
    """Differences in parity, and in the exact counts of compilation."""
    for fact in check.facts_of(ParityFact):
        if fact.head == "fail" and fact.base == "pass":
            sentence = f"passes parity in base and fails parity in head: {fact.reason}"
            for case in fact.cases:
                yield Difference(
                    case=case, what="parity", verdict=Verdict.REGRESSION, sentence=sentence
                )
    for case in cases:
        compiled = [_compiled(pair) for pair in check.pairs if pair.case == case]
        if len(compiled) < MIN_PAIRS:
            continue
        recorded = [sides for sides in compiled if sides is not None]
        if len(recorded) < len(compiled):
            continue
        for name, noun in COUNTS.items():
            base, head = ({getattr(sides[n], name) or 0 for sides in recorded} for n in (0, 1))
            # A count is exact only if it is the same in every pair of a side.
            if len(base) == len(head) == 1 and base != head:
                yield _count(case, noun, base.pop(), head.pop())


def _compiled(pair: Pair) -> tuple[Compilation, Compilation] | None:
    """The compilations of base and head in a pair; `None` if a side did not record one."""
    base, head = (pair.sides[side].compile if side in pair.sides else None for side in SIDES)
    return None if base is None or head is None else (base, head)


def _count(case: str, noun: str, base: int, head: int) -> Difference:
    return Difference(
        case=case,
        what=noun,
        verdict=Verdict.REGRESSION if head > base else Verdict.IMPROVEMENT,
        sentence=f"{noun} {'rose' if head > base else 'fell'} from {base} to {head}",
    )


def grown(check: Check, cases: Sequence[str]) -> Iterator[Difference]:
    """Differences in peak memory and compile time that exceed the margins in every pair."""
    for case in cases:
        yield from _grown_memory(check, case)
    for fact in check.facts_of(CompileFact):
        times = fact.seconds
        verdict = _common_verdict(times, COMPILE_MARGIN, COMPILE_S)
        if verdict is not None and len(times) >= COMPILE_PAIRS:
            base, head = (sorted(pair[n] for pair in times)[len(times) // 2] for n in (0, 1))
            yield Difference(
                case=fact.case,
                what="compile time",
                verdict=verdict,
                sentence=f"compile time with an empty cache {_VERBS[verdict]} from "
                f"{quantity.seconds(base)} to {quantity.seconds(head)}, in all {len(times)} pairs",
            )


def _grown_memory(check: Check, case: str) -> Iterator[Difference]:
    pairs = [*check.valid_pairs(case, SCREEN), *check.valid_pairs(case, CONFIRM)]
    ends = [[pair.sides[side] for side in SIDES] for pair in pairs if {*SIDES} <= {*pair.sides}]
    for name, noun in _SIZES.items():
        sizes = [[float(getattr(end, name) or 0) for end in pair] for pair in ends]
        if len(sizes) < MIN_PAIRS:
            continue
        verdict = _common_verdict(sizes, MEMORY_MARGIN, MEMORY_BYTES)
        if verdict is not None:
            base, head = (min(pair[n] for pair in sizes) for n in (0, 1))
            yield Difference(
                case=case,
                what=noun,
                verdict=verdict,
                sentence=f"{noun} {_VERBS[verdict]} from {quantity.mebibytes(base)} to "
                f"{quantity.mebibytes(head)} MiB, in all {len(sizes)} pairs",
            )


def compile_times_differ(times: Sequence[Sequence[float]]) -> bool:
    """True if all pairs of compile times so far differ beyond the margins, in one direction."""
    return _common_verdict(times, COMPILE_MARGIN, COMPILE_S) is not None


def _common_verdict(
    pairs: Sequence[Sequence[float]], margin: float, minimum: float
) -> Verdict | None:
    """The verdict on (base, head) pairs that all differ by more than `margin` and `minimum`.

    A regression if head is larger in every pair, an improvement if base is, else `None`.
    """
    if all(head > base * (1 + margin) and head > base + minimum for base, head in pairs):
        return Verdict.REGRESSION
    if all(base > head * (1 + margin) and base > head + minimum for base, head in pairs):
        return Verdict.IMPROVEMENT
    return None
