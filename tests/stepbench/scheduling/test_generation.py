import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest

from stepbench.config.turns import PlayerFacts, TakeTurn, TurnKind, TurnResult
from stepbench.scheduling import generation
from stepbench.scheduling.generation import GenerationPlan, Played, play
from stepbench.scheduling.rounds import ROUNDS_OF_RUNS, RoundPlan
from stepbench_reports.schema.status import Status
from support import played
from support.fake_players import Stage, generator, steps_of

PLAN = GenerationPlan(number=3, turns_s=0.3, steps=None, thorough=True, cores=(0, 1))
LAPPED, BARE, UNLOADED, TINY = TurnKind
MIN_ROUNDS = ROUNDS_OF_RUNS.min_rounds


@pytest.fixture(autouse=True)
def no_memory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each player takes 100 bytes."""

    def tree_bytes(pids: Iterable[int]) -> int:
        return 100 * len(list(pids))

    monkeypatch.setattr(generation, "tree_bytes", tree_bytes)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage whose time is the generation's."""
    made = Stage()
    monkeypatch.setattr(generation, "time", made)
    return made


def perform(
    stage: Stage, *names: str, plan: GenerationPlan = PLAN, activities: list[str] | None = None
) -> Played[str, PlayerFacts]:
    said: list[str] = [] if activities is None else activities
    result = play(stage.start, names, plan, generator(0), said.append)
    assert stage.alive == set()
    return result


def test_all_players_take_the_same_turns_until_the_time_is_up(stage: Stage) -> None:
    activities: list[str] = []
    done = perform(stage, "a", "b", activities=activities)
    # Both take a lapped and a bare turn of 60 ms in each round; the first has two more turns each.
    assert [steps_of(stage, name, BARE) for name in "ab"] == [[60, 60]] * 2
    assert [steps_of(stage, name, LAPPED) for name in "ab"] == [[60, 60]] * 2
    assert activities == ["round 1", "round 2"]
    assert set(done.ready) == set(done.facts) == {"a", "b"}
    assert (done.lost, done.deferred, done.number) == ({}, (), 3)
    assert done.start_s == {"a": 0.25, "b": 0.25}
    assert done.elapsed_s == pytest.approx(stage.now_s)
    assert [turn.player for turn in done.turns[:2]] == [t.player for t in done.turns[3:1:-1]]


def test_nobody_works_before_all_are_prepared_or_after_the_first_has_finished(
    stage: Stage,
) -> None:
    perform(stage, "a", "b")
    phases = {"start": 0, "prepare": 0, "finish": 2}
    order = [phases.get(event, 1) for _, event in stage.events]
    assert order == sorted(order)


def test_steps_without_loading_are_taken_once(stage: Stage) -> None:
    done = perform(stage, "a", "b", plan=replace(PLAN, turns_s=3.0))
    assert max(turn.round for turn in done.turns) > MIN_ROUNDS
    for kind in (UNLOADED, TINY):
        taken = [turn for turn in done.turns if turn.command.kind is kind]
        assert sorted(turn.player for turn in taken) == ["a", "b"]
        assert {turn.round for turn in taken} == {0}


def test_there_are_two_rounds_however_long_they_take(stage: Stage) -> None:
    stage.ready = {"a": played.ready(50.0), "b": played.ready(70.0)}
    perform(stage, "a", "b")
    assert [steps_of(stage, name, BARE) for name in "ab"] == [[1] * MIN_ROUNDS] * 2


@pytest.mark.parametrize("steps", [1, 60, 61, 150])
def test_the_requested_steps_are_taken_exactly(stage: Stage, steps: int) -> None:
    stage.ready = {"b": played.ready(0.002)}
    perform(stage, "a", "b", plan=replace(PLAN, steps=steps, turns_s=0.0))
    for name in "ab":
        assert sum(steps_of(stage, name, BARE)) == sum(steps_of(stage, name, LAPPED)) == steps
        assert len(steps_of(stage, name, UNLOADED)) == 1


def test_the_requested_steps_are_taken_exactly_by_turns_of_unlike_lengths(stage: Stage) -> None:
    lengths_s = itertools.cycle([0.001, 0.004, 0.0005])
    stage.result = lambda _, command: TurnResult(command.steps * next(lengths_s))
    perform(stage, "a", "b", plan=replace(PLAN, steps=300, turns_s=0.0))
    for name in "ab":
        assert sum(steps_of(stage, name, BARE)) == sum(steps_of(stage, name, LAPPED)) == 300


def test_a_refused_tiny_batch_is_kept_with_its_reason(stage: Stage) -> None:
    usual = stage.result

    def result(name: str, command: TakeTurn) -> TurnResult:
        return TurnResult(reason="no") if command.kind is TINY else usual(name, command)

    stage.result = result
    done = perform(stage, "a")
    assert [t.result.reason for t in done.turns if t.command.kind is TINY] == ["no"]


@pytest.mark.parametrize(
    ("event", "is_ready"), [("prepare", False), ("bare", True), ("tiny", True), ("finish", True)]
)
def test_a_player_that_is_lost_leaves_the_group_and_the_others_go_on(
    stage: Stage, event: str, is_ready: bool
) -> None:
    stage.fail = {("b", event): Status.CRASHED}
    done = perform(stage, "a", "b", "c")
    assert set(done.lost) == {"b"}
    assert done.lost["b"].status is Status.CRASHED
    assert ("b" in done.ready) is is_ready
    assert set(done.facts) == {"a", "c"}
    lost_at = stage.events.index(("b", event))
    assert "b" not in {name for name, _ in stage.events[lost_at + 1 :]}
    assert all(len(steps_of(stage, name, BARE)) >= MIN_ROUNDS for name in "ac")
    assert "b" not in {turn.player for turn in done.turns if turn.command.kind == event}


def test_if_all_are_lost_the_generation_ends(stage: Stage) -> None:
    stage.fail = {("a", "prepare"): Status.TIMEOUT, ("b", "lapped"): Status.CRASHED}
    done = perform(stage, "a", "b", plan=replace(PLAN, steps=1000))
    assert {name: outcome.status for name, outcome in done.lost.items()} == {
        "a": Status.TIMEOUT, "b": Status.CRASHED,
    }  # fmt: skip
    assert done.facts == {}


def test_players_that_find_no_memory_are_deferred_in_their_order(stage: Stage) -> None:
    done = perform(stage, *"abcd", plan=replace(PLAN, memory_bytes=200))
    assert done.deferred == ("c", "d")
    assert list(done.ready) == ["a", "b"]
    assert {name for name, _ in stage.events} == {"a", "b"}
    assert done.lost == {}


def test_the_first_player_needs_no_place_beside_others(stage: Stage) -> None:
    done = perform(stage, *"ab", plan=replace(PLAN, memory_bytes=0))
    assert list(done.ready) == ["a"]
    assert done.deferred == ("b",)


@pytest.mark.parametrize(
    ("event", "memory_bytes"),
    [("prepare", 10**9), *itertools.product(("lapped", "bare", "finish"), (10**9, None))],
)
def test_a_player_that_runs_out_of_memory_beside_others_is_deferred_without_a_trace(
    stage: Stage, event: str, memory_bytes: int | None
) -> None:
    stage.fail = {("b", event): Status.OOM}
    done = perform(stage, *"abc", plan=replace(PLAN, memory_bytes=memory_bytes))
    assert (done.deferred, done.lost) == (("b",), {})
    assert set(done.ready) == set(done.facts) == set(done.start_s) == {"a", "c"}
    assert {turn.player for turn in done.turns} == {"a", "c"}


@pytest.mark.parametrize("event", ["prepare", "lapped", "bare", "finish"])
def test_a_player_that_runs_out_of_memory_alone_is_lost(stage: Stage, event: str) -> None:
    stage.fail = {("b", event): Status.OOM}
    done = perform(stage, "b", plan=replace(PLAN, memory_bytes=10**9))
    assert done.lost["b"].status is Status.OOM
    assert done.deferred == ()


def test_the_last_player_of_a_group_that_runs_out_of_memory_is_lost(stage: Stage) -> None:
    stage.fail = {("a", "bare"): Status.OOM, ("b", "bare"): Status.OOM}
    done = perform(stage, "a", "b")
    assert len(done.deferred) == len(done.lost) == 1


def test_only_a_thorough_generation_collects_facts(stage: Stage) -> None:
    done = perform(stage, "a", plan=replace(PLAN, thorough=False))
    assert done.facts == {}
    assert stage.thorough == [False]


def test_the_cores_of_a_round_are_commanded(stage: Stage) -> None:
    stage.ready = {"a": played.ready(threads=1), "b": played.ready(threads=1)}
    done = perform(stage, "a", "b", "c")
    for turn in done.turns:
        expected = (0, 1) if turn.player == "c" else (turn.round % 2,)
        assert turn.command.cores == expected


def test_players_end_if_the_parent_fails(stage: Stage) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(stage.start, ["a", "b"], PLAN, generator(0), interrupt)
    assert stage.alive == set()
    assert stage.count("start") == 2


PAIR = replace(
    PLAN,
    thorough=False,
    min_players=2,
    rounds=RoundPlan((LAPPED, LAPPED), (), turn_s=0.03, min_steps=2, min_rounds=4),
)
"""A generation like that of the regression check."""


def test_two_turns_of_a_kind_go_there_and_back_in_either_order(stage: Stage) -> None:
    done = perform(stage, "a", "b", plan=replace(PAIR, turns_s=0.6))
    assert {turn.command.kind for turn in done.turns} == {LAPPED}
    players = "".join(turn.player for turn in done.turns)
    rounds = {players[start : start + 4] for start in range(0, len(players), 4)}
    assert rounds == {"abba", "baab"}


def test_the_plan_sets_the_length_of_turns_and_the_fewest_rounds(stage: Stage) -> None:
    stage.ready = {"a": played.ready(0.001), "b": played.ready(7.0)}
    perform(stage, "a", "b", plan=PAIR)
    assert steps_of(stage, "a", LAPPED) == [30] * 8
    assert steps_of(stage, "b", LAPPED) == [2] * 8


@pytest.mark.parametrize("event", ["prepare", "lapped"])
def test_turns_end_with_too_few_players(stage: Stage, event: str) -> None:
    stage.fail = {("b", event): Status.CRASHED}
    done = perform(stage, "a", "b", plan=PAIR)
    assert set(done.lost) == {"b"}
    assert len(done.turns) <= 4  # the round in which it was lost
    assert stage.count("finish") == 1


def test_a_player_whose_work_has_ended_takes_no_more_turns(stage: Stage) -> None:
    usual = stage.result

    def result(name: str, command: TakeTurn) -> TurnResult:
        if name == "a" and len(stage.commands["a"]) == 2:
            return TurnResult(0.01, steps=7, ended=True)
        return usual(name, command)

    stage.result = result
    done = perform(stage, "a", "b")
    of_a = [turn.command.steps for turn in done.turns if turn.player == "a"]
    assert of_a == [60, 7]
    assert sum(turn.player == "b" for turn in done.turns) > 2
    assert set(done.facts) == {"a", "b"}


def test_a_generation_ends_with_the_work_of_all(stage: Stage) -> None:
    stage.result = lambda _, command: TurnResult(0.01, steps=command.steps, ended=True)
    plan = replace(PLAN, turns_s=1e8)
    assert len(perform(stage, "a", plan=plan).turns) == 1
    assert len(perform(stage, "a", plan=replace(plan, steps=1000)).turns) == 1
