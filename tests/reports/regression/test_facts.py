from pathlib import Path
from typing import Any

import pytest

from stepbench_reports.regression import facts
from stepbench_reports.regression.facts import Fact
from stepbench_reports.regression.verdict import Verdict
from support import synthetic_check as made

GIB = 2**30


def exact(path: Path, pairs: list[dict[str, Any]], told: list[dict[str, Any]]) -> list[Fact]:
    return list(facts.exact(made.write(path, pairs, told), (made.CASE,)))


def grown(path: Path, pairs: list[dict[str, Any]], told: list[dict[str, Any]]) -> list[Fact]:
    return list(facts.grown(made.write(path, pairs, told), (made.CASE,)))


def parity(head: str, base: str | None = None) -> dict[str, Any]:
    found = {"kind": "parity", "cases": [made.CASE], "head": head, "reason": "loss is off"}
    return found if base is None else {**found, "base": base}


def test_parity_is_lost_only_where_base_had_it(tmp_path: Path) -> None:
    (found,) = exact(tmp_path, [], [parity("fail", "pass")])
    assert found.verdict is Verdict.REGRESSION
    assert "loss is off" in found.sentence
    for told in (parity("fail", "fail"), parity("pass"), parity("undecided", "pass")):
        assert not exact(tmp_path, [], [told])


def compiled(**counts: int) -> dict[str, Any]:
    return {"compile": {"graph_breaks": 0, "recompiles": 0, **counts}}


def test_more_graph_breaks_and_recompilations_are_counted_exactly(tmp_path: Path) -> None:
    pairs = [
        made.entry(n, base=compiled(), head=compiled(graph_breaks=1, recompiles=2))
        for n in range(6)
    ]
    breaks, recompiles = exact(tmp_path, pairs, [])
    assert "1 graph breaks, where base has 0" in breaks.sentence
    assert recompiles.verdict is Verdict.REGRESSION


def test_fewer_graph_breaks_are_an_improvement(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(graph_breaks=2), head=compiled()) for n in range(6)]
    (found,) = exact(tmp_path, pairs, [])
    assert found.verdict is Verdict.IMPROVEMENT


def test_counts_that_differ_from_pair_to_pair_are_no_facts(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(), head=compiled(recompiles=n % 2)) for n in range(6)]
    assert not exact(tmp_path, pairs, [])


def test_memory_has_grown_where_every_pair_says_so(tmp_path: Path) -> None:
    small, large = {"host_peak_bytes": GIB}, {"host_peak_bytes": int(1.2 * GIB)}
    pairs = [made.entry(n, base=small, head=large) for n in range(6)]
    (found,) = grown(tmp_path, pairs, [])
    assert found.verdict is Verdict.REGRESSION
    assert "1,024 to 1,229 MiB" in found.sentence
    assert not grown(tmp_path, [*pairs, made.entry(7, base=small, head=small)], [])
    assert not grown(tmp_path, pairs[:5], [])  # too few


@pytest.mark.parametrize("head", [1.04 * GIB, 2**28 + 2**22])
def test_memory_within_the_margin_has_not_grown(tmp_path: Path, head: float) -> None:
    base = GIB if head > GIB else 2**28
    pairs = [
        made.entry(n, base={"host_peak_bytes": base}, head={"host_peak_bytes": head})
        for n in range(6)
    ]
    assert not grown(tmp_path, pairs, [])


def test_a_device_s_memory_counts_likewise(tmp_path: Path) -> None:
    base, head = {"device_peak_bytes": GIB}, {"device_peak_bytes": 2 * GIB}
    pairs = [made.entry(n, base=base, head=head) for n in range(6)]
    (found,) = grown(tmp_path, pairs, [])
    assert found.what == "peak memory of the device"


def test_compiling_takes_longer_where_three_pairs_say_so(tmp_path: Path) -> None:
    slower = {"kind": "compile", "case": made.CASE, "seconds": [[10, 15], [11, 16], [10, 14]]}
    (found,) = grown(tmp_path, [], [slower])
    assert found.verdict is Verdict.REGRESSION
    assert "10.0 s to 15.0 s" in found.sentence
    for seconds in ([[10, 15]], [[10, 15], [11, 16], [10, 11]], [[1.0, 1.5]] * 3):
        assert not grown(tmp_path, [], [{**slower, "seconds": seconds}])
    assert facts.agreed_so_far([[10, 15]])
    assert not facts.agreed_so_far([[10, 10.5]])


def failed(side: str) -> dict[str, Any]:
    told = {"side": side, "reason": "out of memory", "detail": None}
    return {"case": made.CASE, "round": 1, "stage": "screen", "failed": told}


def test_a_case_whose_pairs_fail_twice_has_each_side_tried_alone(tmp_path: Path) -> None:
    assert facts.failed_in_pairs(made.write(tmp_path, [failed("head")])) == ()
    found = made.write(tmp_path, [failed("head"), failed("base")])
    assert facts.failed_in_pairs(found) == (made.CASE,)


@pytest.mark.parametrize(
    ("base", "head", "regression"),
    [(None, "it raised x", True), (None, None, False), ("it raised x", "it raised x", False)],
)
def test_only_what_head_alone_cannot_run_is_head_s_regression(
    tmp_path: Path, base: str | None, head: str | None, regression: bool
) -> None:
    alone = {"kind": "alone", "case": made.CASE, "base": base, "head": head}
    found = facts.failing(made.write(tmp_path, [failed("head")] * 2, [alone]))
    assert bool(found) is regression


def test_counts_from_few_pairs_are_no_facts(tmp_path: Path) -> None:
    pairs = [made.entry(n, base=compiled(), head=compiled(graph_breaks=1)) for n in range(5)]
    assert not exact(tmp_path, pairs, [])
