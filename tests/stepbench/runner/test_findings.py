import math
from dataclasses import replace
from typing import Any

import pytest

from stepbench.config.case import Case
from stepbench.config.turns import PlayerFacts, TurnKind
from stepbench.runner.findings import Sampled, findings, judged_turns, steps_by_generation
from stepbench.scheduling.generation import Played
from stepbench.scheduling.rounds import TakenTurn
from stepbench_reports.schema.measurement import Block, Findings
from stepbench_reports.schema.stop_reason import StopReason
from support import played
from support.played import generation, laps, turn, use

CASE = Case(workload="net", batch_size=8)
OTHER = CASE.changed(precision="bf16")
LAPPED, BARE, UNLOADED, TINY = TurnKind
BUSY = played.use(others=0.5)
"""The machine while a neighbour works."""


def lapped(step_s: float, steps: int = 2, *, number: int = 0, **result: Any) -> TakenTurn[Any]:
    host = laps([step_s] * steps, dataload=[0.25 * step_s] * steps, forward=[0.75 * step_s] * steps)
    return turn(CASE, LAPPED, steps, step_s * steps, number=number, **{"host": host, **result})


def bare(step_s: float, steps: int = 2, *, number: int = 0, **result: Any) -> TakenTurn[Any]:
    return turn(CASE, BARE, steps, step_s * steps, number=number, **result)


def sampled(
    *generations: Played[Case, PlayerFacts],
    group: int = 0,
    stopped: StopReason = StopReason.PRECISE,
) -> Sampled:
    return Sampled(group, generations, stopped, 0.02)


def found(*generations: Played[Case, PlayerFacts], case: Case = CASE) -> Findings:
    result = findings(case, played.facts(), played.ready(), [sampled(*generations)])
    assert result is not None
    return result


def test_laps_are_joined_in_the_order_of_the_generations() -> None:
    result = found(
        generation([lapped(1.0), bare(1.0), turn(OTHER, BARE, 9, 9.0), lapped(2.0, 1)]),
        generation([lapped(3.0), bare(1.0)], 1),
    )
    assert result.laps.host["step"] == [1.0, 1.0, 2.0, 3.0, 3.0]
    assert result.laps.host["forward"] == [0.75, 0.75, 1.5, 2.25, 2.25]
    assert result.laps.device is None
    assert result.micro_laps is None
    assert result.blocks == (
        Block(kind="lapped", steps=2, elapsed_s=2.0),
        Block(kind="bare", steps=2, elapsed_s=2.0),
        Block(kind="lapped", steps=1, elapsed_s=2.0),
        Block(kind="lapped", steps=2, elapsed_s=6.0),
        Block(kind="bare", steps=2, elapsed_s=2.0),
    )
    assert [(t.group, t.generation, t.kind, t.steps) for t in result.turns] == [
        (0, 0, "lapped", 2), (0, 0, "bare", 2), (0, 0, "lapped", 1), (0, 1, "lapped", 2),
        (0, 1, "bare", 2),
    ]  # fmt: skip
    assert result.turns[0].phases_s == pytest.approx({"dataload": 0.5, "forward": 1.5})
    assert result.turns[1].phases_s == {}


def test_a_phase_that_a_step_never_ends_has_laps_of_zero() -> None:
    with_optimizer = laps([1.0], forward=[0.5], optimizer=[0.25])
    result = found(
        generation([lapped(1.0), turn(CASE, LAPPED, 1, 1.0, host=with_optimizer), lapped(2.0, 1)])
    )
    assert result.phases == ("dataload", "forward", "backward", "optimizer")
    host = result.laps.host
    assert host["backward"] == [0.0] * 4
    assert host["optimizer"] == [0.0, 0.0, 0.25, 0.0]
    assert host["dataload"] == [0.25, 0.25, 0.0, 0.5]


def test_laps_of_a_custom_phase_are_kept() -> None:
    custom = laps([1.0], discriminator=[0.5])
    result = found(generation([lapped(1.0), turn(CASE, LAPPED, 1, 1.0, host=custom)]))
    assert result.laps.host["discriminator"] == [0.0, 0.0, 0.5]


def test_laps_that_differ_in_number_are_an_error() -> None:
    broken = turn(CASE, LAPPED, 2, 2.0, host=laps([1.0, 1.0], forward=[1.0]))
    with pytest.raises(ValueError, match="differ in number"):
        found(generation([broken]))


def test_the_device_s_laps_are_decisive() -> None:
    device = laps([5.0, 5.0], forward=[3.0, 3.0])
    result = found(generation([lapped(1.0, device=device), bare(1.0)]))
    assert result.laps.device is not None
    assert result.laps.device["step"] == [5.0, 5.0]
    assert result.turns[0].phases_s == {"forward": 6.0}


def test_micro_laps_are_joined_where_all_turns_have_as_many() -> None:
    case = CASE.changed(accumulate=2)
    turns = [
        replace(lapped(1.0, 1, micro=micro), player=case)
        for micro in (
            {"forward": [[1.0, 2.0]], "backward": [[1.0, 1.0]]},
            {"forward": [[3.0, 4.0]], "backward": [[1.0, 1.0, 1.0]]},
        )
    ]
    assert found(generation(turns), case=case).micro_laps == {"forward": [[1.0, 2.0], [3.0, 4.0]]}


def test_turns_that_waited_for_a_core_beside_others_are_left_out() -> None:
    result = found(
        generation([
            lapped(1.0), bare(1.0), bare(1.0, number=1),
            bare(9.0, number=2, run_delay_s=0.9, machine_use=BUSY),
            lapped(9.0, number=1, run_delay_s=0.9, machine_use=BUSY),
            # The case's own threads took the cores from each other.
            bare(1.5, number=3, run_delay_s=0.9),
        ])
    )  # fmt: skip
    assert [t.counts for t in result.turns] == [True, True, True, False, False, True]
    assert result.turns[3].run_delay == pytest.approx(0.9 / 18)
    assert result.laps.host["step"] == [1.0, 1.0]
    assert [block.elapsed_s for block in result.blocks] == [2.0, 2.0, 2.0, 3.0]
    assert result.noise.discarded == 2
    assert not result.noise.interference
    assert [noise.kept for noise in result.noise.blocks] == [t.counts for t in result.turns]
    assert result.noise.blocks[3].others == 0.5
    # samples/s is what the user gets: over all bare turns.
    (steps,) = steps_by_generation(
        judged_turns(CASE, sampled(generation([lapped(1.0), bare(1.0), bare(3.0)]))), workers=False
    ).values()
    assert steps.all_s == steps.kept_s == 2.0


def test_turns_that_a_cpu_quota_stopped_are_left_out() -> None:
    running, stopped = played.use(quota_stopped=0.0), played.use(quota_stopped=0.3)
    result = found(
        generation([
            lapped(1.0, probe_s=0.002), bare(1.0, machine_use=running),
            bare(1.0, number=1, machine_use=running), bare(9.0, number=2, machine_use=stopped),
        ])
    )  # fmt: skip
    assert [t.counts for t in result.turns] == [True, True, True, False]
    assert result.noise.blocks[3].quota_stopped == 0.3
    assert [t.probe_s for t in result.turns] == [0.002, None, None, None]


def test_what_is_usual_is_settled_in_each_generation() -> None:
    delayed: dict[str, Any] = {"run_delay_s": 0.9, "machine_use": BUSY}
    result = found(
        generation([lapped(1.0), bare(1.0), bare(1.0), bare(1.0)]),
        generation([bare(1.0, **delayed), lapped(1.0, **delayed)], 1),
    )
    assert all(t.counts for t in result.turns)


def test_what_is_usual_with_a_loader_is_not_what_is_usual_without() -> None:
    """Loader workers take cores from the case's threads, beside a constant neighbour."""
    own: dict[str, Any] = {"run_delay_s": 0.8, "machine_use": BUSY}
    alone: dict[str, Any] = {"run_delay_s": 0.0, "machine_use": BUSY, "samples": 1}
    track = laps([1.0] * 2, forward=[0.5] * 2)
    result = found(
        generation([
            lapped(1.0, **own), bare(1.0, **own), lapped(1.0, number=1, **own),
            bare(1.0, number=1, **own), turn(CASE, UNLOADED, 2, 2.0, host=track, **alone),
            turn(CASE, TINY, 2, 2.0, host=track, **alone),
        ])
    )  # fmt: skip
    assert all(t.counts for t in result.turns)
    assert not result.noise.interference


def test_a_turn_in_which_something_was_compiled_is_left_out_and_is_in_no_sum() -> None:
    result = found(
        generation([lapped(1.0), bare(50.0, compiled=True), bare(1.0)]),
        generation([lapped(1.0), bare(1.0)], 1),
    )
    assert [t.counts for t in result.turns] == [True, False, True, True, True]
    assert result.sampling.rel_error == 0.0


def test_a_turn_that_was_suspended_is_left_out_and_is_in_no_sum() -> None:
    stopped = use(suspended="process stopped", cpu_per_wall=0.06)
    asleep = use(cpu_per_wall=0.06)  # the case's own stall counts
    result = found(
        generation([lapped(1.0), bare(50.0, machine_use=stopped), bare(1.0)]),
        generation([lapped(1.0), bare(1.0)], 1),
        generation([lapped(1.0), bare(1.0, machine_use=asleep)], 2),
    )
    assert [t.counts for t in result.turns] == [True, False, *[True] * 5]
    assert [t.suspended for t in result.turns][:3] == [None, "process stopped", None]
    assert result.sampling.rel_error == 0.0
    assert result.noise.discarded == 1


def test_a_kind_of_turn_of_which_none_counts_is_kept_whole() -> None:
    result = found(
        generation([
            lapped(9.0, compiled=True), bare(1.0), bare(1.0, compiled=True),
            lapped(8.0, 1, compiled=True),
        ])
    )  # fmt: skip
    assert result.laps.host["step"] == [9.0, 9.0, 8.0]
    assert [block.kind for block in result.blocks] == ["lapped", "bare", "lapped"]


def test_a_case_without_a_lapped_turn_has_no_findings() -> None:
    only_bare = [sampled(generation([bare(1.0)]))]
    assert findings(CASE, played.facts(), played.ready(), only_bare) is None


def test_a_run_with_mostly_interference_is_marked() -> None:
    delayed: dict[str, Any] = {"run_delay_s": 0.9, "machine_use": BUSY}
    quiet = [lapped(1.0), bare(1.0)]
    noisy = [bare(1.0, **delayed) for _ in range(3)]
    assert found(generation([*quiet, *noisy])).noise.interference
    assert not found(generation([*quiet, *noisy[:2]])).noise.interference


def test_a_system_without_counters_leaves_no_turn_out() -> None:
    blind: dict[str, Any] = {
        "run_delay_s": None,
        "machine_use": played.use(others=None, steal=None),
    }
    result = found(generation([lapped(1.0, **blind), bare(9.0, **blind)]))
    assert all(t.counts for t in result.turns)
    assert result.turns[0].run_delay is None


def test_the_facts_of_sampling() -> None:
    result = found(
        generation([lapped(1.0), bare(1.0)], elapsed_s=3.0),
        generation([lapped(1.0), bare(math.e)], 1, elapsed_s=4.0),
    )
    sampling = result.sampling
    assert (sampling.stopped, sampling.target, sampling.elapsed_s) == ("precise", 0.02, 7.0)
    assert sampling.generations == 2
    # The mean of the logs is 0.5, its half-width 12.7 times 0.5.
    assert sampling.rel_error is not None
    assert sampling.rel_error > 1
    single = found(generation([lapped(1.0), bare(1.0)]))
    assert (single.sampling.generations, single.sampling.rel_error) == (1, None)


def test_a_case_that_plays_in_two_groups_has_the_turns_of_both() -> None:
    samplings = [
        sampled(generation([lapped(1.0), bare(1.0)]), generation([lapped(2.0), bare(2.0)], 1)),
        sampled(generation([lapped(3.0), bare(3.0)]), group=4, stopped=StopReason.INTERRUPTED),
    ]
    result = findings(CASE, played.facts(), played.ready(), samplings)
    assert result is not None
    assert [(t.group, t.generation) for t in result.turns if t.kind == "bare"] == [
        (0, 0), (0, 1), (4, 0),
    ]  # fmt: skip
    assert result.laps.host["step"] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert (result.sampling.stopped, result.sampling.generations) == ("precise", 3)
    assert result.sampling.elapsed_s == 3.0


def without_loading(kind: TurnKind, steps: int, **phases: float) -> TakenTurn[Any]:
    track = laps(
        [sum(phases.values())] * steps, **{name: [s] * steps for name, s in phases.items()}
    )
    samples = 2 if kind is TINY else 0
    return turn(CASE, kind, steps, sum(track["step"]), host=track, samples=samples)


def test_the_launch_overhead_and_the_unloaded_step_by_hand() -> None:
    result = found(
        generation([
            lapped(1.0), bare(1.0),
            without_loading(UNLOADED, 4, forward=1.4, backward=2.0),
            without_loading(TINY, 5, forward=0.8, backward=1.7),
        ])
    )  # fmt: skip
    # A sample costs (1.4 - 0.8) / 6 = 0.1 in forward, (2.0 - 1.7) / 6 = 0.05 in backward.
    assert result.launch_overhead.batch_size == 2
    assert result.launch_overhead.forward_s == pytest.approx(0.8 - 2 * 0.1)
    assert result.launch_overhead.backward_s == pytest.approx(1.7 - 2 * 0.05)
    assert result.launch_overhead.reason is None
    assert result.loader is not None
    assert result.loader.unloaded_step_s == pytest.approx(3.4)
    assert [block.kind for block in result.blocks] == ["lapped", "bare"]


def test_the_launch_overhead_is_that_of_a_micro_batch() -> None:
    case = CASE.changed(accumulate=2)
    turns = [
        replace(each, player=case)
        for each in (
            lapped(1.0),
            without_loading(UNLOADED, 1, forward=2.8, backward=0.0),
            without_loading(TINY, 1, forward=1.6, backward=0.0),
        )
    ]
    overhead = found(generation(turns), case=case).launch_overhead
    assert overhead.forward_s == pytest.approx(0.6)


def test_a_missing_launch_overhead_has_a_reason() -> None:
    refused = turn(CASE, TINY, 5, 0.0, reason="it would recompile", machine_use=None)
    unloaded = without_loading(UNLOADED, 4, forward=1.4, backward=2.0)
    result = found(generation([lapped(1.0), bare(1.0), unloaded, refused]))
    assert result.launch_overhead.forward_s is None
    assert result.launch_overhead.reason == "it would recompile"
    assert "tiny" not in {t.kind for t in result.turns}
    without = found(generation([lapped(1.0), bare(1.0), unloaded]))
    assert "no step on a tiny batch" in str(without.launch_overhead.reason)
    loader = found(generation([lapped(1.0)])).loader
    assert loader is not None
    assert loader.unloaded_step_s is None
