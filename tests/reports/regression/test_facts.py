from pathlib import Path

import pytest

from stepbench_reports.regression import facts
from stepbench_reports.schema.check import (
    AloneFact,
    CompileFact,
    Fact,
    PairLine,
    ParityFact,
    SideEnd,
)
from stepbench_reports.schema.verdict import Difference, Verdict
from support import synthetic_check as made

GIB = 2**30


def exact(path: Path, pairs: list[PairLine], told: list[Fact]) -> list[Difference]:
    return list(facts.exact(made.write(path, pairs, told), (made.CASE,)))


def grown(path: Path, pairs: list[PairLine], told: list[Fact]) -> list[Difference]:
    return list(facts.grown(made.write(path, pairs, told), (made.CASE,)))


def parity(head: str, base: str | None = None) -> ParityFact:
    return ParityFact(cases=(made.CASE,), head=head, reason="loss is off", base=base)


def test_parity_is_lost_only_where_base_had_it(tmp_path: Path) -> None:
    (found,) = exact(tmp_path, [], [parity("fail", "pass")])
    assert found.verdict is Verdict.REGRESSION
    assert "loss is off" in found.sentence
    for told in (parity("fail", "fail"), parity("pass"), parity("undecided", "pass")):
        assert not exact(tmp_path, [], [told])


def compiled(**counts: int) -> SideEnd:
    return made.end(compiled=made.compilation(**counts))


def test_more_graph_breaks_and_recompilations_are_counted_exactly(tmp_path: Path) -> None:
    pairs = [
        made.entry(n, base=compiled(), head=compiled(graph_breaks=1, recompiles=2))
        for n in range(1, 7)
    ]
    breaks, recompiles = exact(tmp_path, pairs, [])
    assert "1 graph breaks, where base has 0" in breaks.sentence
    assert recompiles.verdict is Verdict.REGRESSION


def test_fewer_graph_breaks_are_an_improvement(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(graph_breaks=2), head=compiled()) for n in range(1, 7)]
    (found,) = exact(tmp_path, pairs, [])
    assert found.verdict is Verdict.IMPROVEMENT


def test_counts_that_differ_from_pair_to_pair_are_no_facts(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(), head=compiled(recompiles=n % 2)) for n in range(1, 7)]
    assert not exact(tmp_path, pairs, [])


def test_memory_has_grown_where_every_pair_says_so(tmp_path: Path) -> None:
    small, large = made.end(host_peak_bytes=GIB), made.end(host_peak_bytes=1.2 * GIB)
    pairs = [made.entry(n, base=small, head=large) for n in range(1, 7)]
    (found,) = grown(tmp_path, pairs, [])
    assert found.verdict is Verdict.REGRESSION
    assert "1,024 to 1,229 MiB" in found.sentence
    assert not grown(tmp_path, [*pairs, made.entry(7, base=small, head=small)], [])
    assert not grown(tmp_path, pairs[:5], [])  # too few


@pytest.mark.parametrize("head", [1.04 * GIB, 2**28 + 2**22])
def test_memory_within_the_margin_has_not_grown(tmp_path: Path, head: float) -> None:
    base = GIB if head > GIB else 2**28
    pairs = [
        made.entry(n, base=made.end(host_peak_bytes=base), head=made.end(host_peak_bytes=head))
        for n in range(1, 7)
    ]
    assert not grown(tmp_path, pairs, [])


def test_a_device_s_memory_counts_likewise(tmp_path: Path) -> None:
    base, head = made.end(device_peak_bytes=GIB), made.end(device_peak_bytes=2 * GIB)
    pairs = [made.entry(n, base=base, head=head) for n in range(1, 7)]
    (found,) = grown(tmp_path, pairs, [])
    assert found.what == "peak memory of the device"


def test_compiling_takes_longer_where_three_pairs_say_so(tmp_path: Path) -> None:
    def compiling(*seconds: tuple[float, float]) -> CompileFact:
        return CompileFact(case=made.CASE, seconds=seconds)

    (found,) = grown(tmp_path, [], [compiling((10, 15), (11, 16), (10, 14))])
    assert found.verdict is Verdict.REGRESSION
    assert "10.0 s to 15.0 s" in found.sentence
    few, apart, short = [(10, 15)], [(10, 15), (11, 16), (10, 11)], [(1.0, 1.5)] * 3
    for seconds in (few, apart, short):
        assert not grown(tmp_path, [], [compiling(*seconds)])
    assert facts.agreed_so_far([[10, 15]])
    assert not facts.agreed_so_far([[10, 10.5]])


def test_a_case_whose_pairs_fail_twice_has_each_side_tried_alone(tmp_path: Path) -> None:
    assert facts.failed_in_pairs(made.write(tmp_path, [made.failed("head")])) == ()
    found = made.write(tmp_path, [made.failed("head"), made.failed("base")])
    assert facts.failed_in_pairs(found) == (made.CASE,)


@pytest.mark.parametrize(
    ("base", "head", "regression"),
    [(None, "it raised x", True), (None, None, False), ("it raised x", "it raised x", False)],
)
def test_only_what_head_alone_cannot_run_is_head_s_regression(
    tmp_path: Path, base: str | None, head: str | None, regression: bool
) -> None:
    alone = AloneFact(case=made.CASE, base=base, head=head)
    found = facts.failing(made.write(tmp_path, [made.failed("head")] * 2, [alone]))
    assert bool(found) is regression


def test_counts_from_few_pairs_are_no_facts(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(), head=compiled(graph_breaks=1)) for n in range(1, 6)]
    assert not exact(tmp_path, pairs, [])
