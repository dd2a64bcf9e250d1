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


def exact(path: Path, pairs: list[PairLine], recorded: list[Fact]) -> list[Difference]:
    return list(facts.exact(made.write(path, pairs, recorded), (made.CASE,)))


def grown(path: Path, pairs: list[PairLine], recorded: list[Fact]) -> list[Difference]:
    return list(facts.grown(made.write(path, pairs, recorded), (made.CASE,)))


def parity(head: str, base: str | None = None) -> ParityFact:
    return ParityFact(cases=(made.CASE,), head=head, reason="loss is off", base=base)


def test_failing_parity_is_a_regression_only_if_base_passes(tmp_path: Path) -> None:
    (difference,) = exact(tmp_path, [], [parity("fail", "pass")])
    assert difference.verdict is Verdict.REGRESSION
    assert "loss is off" in difference.sentence
    for fact in (parity("fail", "fail"), parity("pass"), parity("undecided", "pass")):
        assert not exact(tmp_path, [], [fact])


def compiled(**counts: int) -> SideEnd:
    return made.end(compiled=made.compilation(**counts))


def test_more_graph_breaks_and_recompilations_are_counted_exactly(tmp_path: Path) -> None:
    pairs = [
        made.entry(n, base=compiled(), head=compiled(graph_breaks=1, recompiles=2))
        for n in range(1, 7)
    ]
    breaks, recompiles = exact(tmp_path, pairs, [])
    assert "graph breaks rose from 0 to 1" in breaks.sentence
    assert recompiles.verdict is Verdict.REGRESSION


def test_a_cuda_graph_that_torch_skips_in_head_is_a_regression(tmp_path: Path) -> None:
    pairs = [
        made.entry(n, base=compiled(cuda_graph_skips=0), head=compiled(cuda_graph_skips=1))
        for n in range(1, 7)
    ]
    (difference,) = exact(tmp_path, pairs, [])
    assert difference.verdict is Verdict.REGRESSION
    assert difference.sentence == "skipped CUDA graphs rose from 0 to 1"


def test_fewer_graph_breaks_are_an_improvement(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(graph_breaks=2), head=compiled()) for n in range(1, 7)]
    (difference,) = exact(tmp_path, pairs, [])
    assert difference.verdict is Verdict.IMPROVEMENT
    assert difference.sentence == "graph breaks fell from 2 to 0"


def test_counts_that_differ_from_pair_to_pair_are_no_facts(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(), head=compiled(recompiles=n % 2)) for n in range(1, 7)]
    assert not exact(tmp_path, pairs, [])


def test_memory_has_grown_if_it_grew_in_every_pair(tmp_path: Path) -> None:
    small, large = made.end(host_peak_bytes=GIB), made.end(host_peak_bytes=1.2 * GIB)
    pairs = [made.entry(n, base=small, head=large) for n in range(1, 7)]
    (difference,) = grown(tmp_path, pairs, [])
    assert difference.verdict is Verdict.REGRESSION
    assert "rose from 1,024 to 1,229 MiB, in all 6 pairs" in difference.sentence
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


def test_the_memory_of_a_device_is_compared(tmp_path: Path) -> None:
    base, head = made.end(device_peak_bytes=GIB), made.end(device_peak_bytes=2 * GIB)
    pairs = [made.entry(n, base=base, head=head) for n in range(1, 7)]
    (difference,) = grown(tmp_path, pairs, [])
    assert difference.what == "peak memory of the device"


def test_compile_time_has_grown_if_it_grew_in_three_pairs(tmp_path: Path) -> None:
    def compiling(*seconds: tuple[float, float]) -> CompileFact:
        return CompileFact(case=made.CASE, seconds=seconds)

    (difference,) = grown(tmp_path, [], [compiling((10, 15), (11, 16), (10, 14))])
    assert difference.verdict is Verdict.REGRESSION
    assert "rose from 10.0 s to 15.0 s" in difference.sentence
    few, varying, short = [(10, 15)], [(10, 15), (11, 16), (10, 11)], [(1.0, 1.5)] * 3
    for seconds in (few, varying, short):
        assert not grown(tmp_path, [], [compiling(*seconds)])
    assert facts.compile_times_differ([[10, 15]])
    assert not facts.compile_times_differ([[10, 10.5]])


def test_each_side_is_run_alone_in_a_case_that_failed_twice(tmp_path: Path) -> None:
    assert facts.failed_in_pairs(made.write(tmp_path, [made.failed("head")])) == ()
    check = made.write(tmp_path, [made.failed("head"), made.failed("base")])
    assert facts.failed_in_pairs(check) == (made.CASE,)


@pytest.mark.parametrize(
    ("base", "head", "regression"),
    [(None, "it raised x", True), (None, None, False), ("it raised x", "it raised x", False)],
)
def test_a_case_that_only_head_cannot_run_is_a_regression(
    tmp_path: Path, base: str | None, head: str | None, regression: bool
) -> None:
    alone = AloneFact(case=made.CASE, base=base, head=head)
    failing = facts.failing(made.write(tmp_path, [made.failed("head")] * 2, [alone]))
    assert bool(failing) is regression


def test_counts_from_few_pairs_are_no_facts(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(), head=compiled(graph_breaks=1)) for n in range(1, 6)]
    assert not exact(tmp_path, pairs, [])
