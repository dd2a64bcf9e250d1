import math
from pathlib import Path

import pytest

from stepbench_reports.read.hosts import common_cases
from stepbench_reports.read.run import Run
from stepbench_reports.read.run_directory import load
from support import hosts


def spread(path: Path, *, slowdown: float = 1.25, linked: bool = True) -> Run:
    """A reference case of 10 ms and one of 20 ms on n1, one of 40 ms on n2, which is slower."""
    files = [
        hosts.case("n1", 1, 0.010, batch_size=4),
        hosts.case("n1", 1, 0.020, batch_size=8),
        hosts.case("n2", 2, 0.040 * slowdown, batch_size=16),
    ]
    repeats = [(2, hosts.case("n2", 2, 0.010 * slowdown, batch_size=4))] if linked else []
    return load(hosts.write(path, files, repeats, [hosts.host_facts(n) for n in ("n1", "n2")]))


def test_cases_of_different_hosts_are_compared_through_the_reference(tmp_path: Path) -> None:
    run = spread(tmp_path / "run", slowdown=1.5)
    reference, first, other = run.measured
    across = run.ratio_of(other, first, of="step")
    assert across.paired
    assert across.interval.value == pytest.approx(2.0)  # not 3: n2 takes 1.5 times as long for all
    assert run.ratio_of(first, reference, of="step").interval.value == pytest.approx(2.0)
    assert run.ratio(other.id, reference.id, of="step").value == pytest.approx(4.0)


def test_without_a_link_there_is_no_ratio_across_hosts(tmp_path: Path) -> None:
    run = spread(tmp_path / "run", linked=False)
    reference, first, other = run.measured
    assert math.isnan(run.ratio_of(other, first).interval.value)
    assert run.ratio_of(first, reference).interval.value > 0
    assert math.isnan(run.rank(other))
    assert common_cases(run.measurements) == ()


def test_cases_are_ranked_as_if_all_were_on_one_host(tmp_path: Path) -> None:
    run = spread(tmp_path / "run", slowdown=1.5)
    ranks = [run.rank(m) for m in run.measured]
    # The reference case takes 10 ms for 4 samples.
    assert ranks == pytest.approx([1.0, 8 / 0.020 / 400, 16 / 0.040 / 400])
    assert run.measured[2].samples_per_s.value == pytest.approx(16 / 0.060)


def test_each_host_has_its_own_peaks(tmp_path: Path) -> None:
    run = spread(tmp_path / "run")
    assert run.facts.machine_peaks == {}
    assert run.peak_flops_per_s("cpu", "fp32", "n2") == 1.8e11
    assert math.isnan(run.peak_flops_per_s("cpu", "fp32"))
    assert run.share_of_peak(run.measured[2]) > 0


def speeds(path: Path, steps: dict[str, list[float]], noise: float = 0.001) -> Run:
    """A reference case on each host, by several jobs of the given mean steps."""
    measured = [
        (number, hosts.case(host, number, step_s, noise=noise, seed=number))
        for number, (host, step_s) in enumerate(
            (host, step_s) for host, of_host in steps.items() for step_s in of_host
        )
    ]
    (_, first), *repeats = measured
    return load(hosts.write(path, [first], repeats, [hosts.host_facts(n) for n in steps]))


def test_the_slow_host_is_found(tmp_path: Path) -> None:
    run = speeds(tmp_path / "run", {"n1": [0.010], "n2": [0.0125], "n3": [0.01], "n4": [0.0101]})
    slow = [speed for speed in run.host_speeds if speed.is_slow]
    assert [speed.facts.name for speed in slow] == ["n2"]
    assert slow[0].relative.low < 0.8 < slow[0].relative.high < 0.82


def test_a_host_that_differs_by_chance_is_not_slow(tmp_path: Path) -> None:
    run = speeds(tmp_path / "run", {"n1": [0.010], "n2": [0.0105], "n3": [0.01]}, noise=0.08)
    assert not any(speed.is_slow for speed in run.host_speeds)


def test_jobs_that_differ_widen_the_interval(tmp_path: Path) -> None:
    steady = speeds(tmp_path / "a", {"n1": [0.01] * 3, "n2": [0.0125] * 3})
    changing = speeds(tmp_path / "b", {"n1": [0.01] * 3, "n2": [0.0100, 0.0125, 0.0155]})
    assert steady.host_speeds[1].is_slow
    assert not changing.host_speeds[1].is_slow
    widths = [run.host_speeds[1].relative.half_width for run in (steady, changing)]
    assert widths[1] > 10 * widths[0]


def test_one_generation_has_no_interval_and_one_host_no_speed(tmp_path: Path) -> None:
    file = hosts.case("n1", 1, 0.01)
    other = hosts.case("n2", 2, 0.02)
    for each in (file, other):
        each["turns"] = [turn for turn in each["turns"] if turn["generation"] == 0]
    facts = [hosts.host_facts(name) for name in ("n1", "n2")]
    run = load(hosts.write(tmp_path / "a", [file], [(2, other)], facts))
    assert [speed.relative.value for speed in run.host_speeds] == pytest.approx([2, 0.5])
    assert not any(speed.is_slow for speed in run.host_speeds)
    alone = load(hosts.write(tmp_path / "b", [file], [], facts[:1]))
    assert math.isnan(alone.host_speeds[0].relative.value)
    assert not alone.has_hosts


def test_all_cases_count_with_hosts_as_axis(tmp_path: Path) -> None:
    """Each case is slower on n2, and the means of the cases tell no more than one of them."""
    files = [hosts.case("n1", 1, step_s, batch_size=size, noise=0.001, seed=size)
             for size, step_s in ((4, 0.01), (8, 0.03))]  # fmt: skip
    repeats = [(2, hosts.case("n2", 2, step_s * 1.1, batch_size=size, noise=0.001, seed=9 + size))
               for size, step_s in ((4, 0.01), (8, 0.03))]  # fmt: skip
    facts = [hosts.host_facts(name) for name in ("n1", "n2")]
    run = load(hosts.write(tmp_path / "run", files, repeats, facts, hosts_as_axis=True))
    slow = run.host_speeds[1]
    assert slow.is_slow
    assert slow.relative.value == pytest.approx(1 / 1.1, rel=0.01)


def test_damaged_files_of_hosts_and_repeats_are_named(tmp_path: Path) -> None:
    path = tmp_path / "run"
    spread(path)
    (path / "hosts" / "n2.json").write_text("{")
    (repeat,) = (path / "repeats").iterdir()
    repeat.write_text("{}")
    run = load(path)
    assert [host.name for host in run.hosts] == ["n1"]
    assert len(run.problems) == 2
    assert any("hosts/n2.json" in problem for problem in run.problems)
