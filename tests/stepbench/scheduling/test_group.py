from collections.abc import Iterator, Sequence

import pytest

from stepbench.config.turns import PlayerFacts
from stepbench.scheduling import generation, group
from stepbench.scheduling.generation import Played
from stepbench.scheduling.group import (
    FIRST_STAGE_OVERRUN,
    Group,
    GroupOptions,
)
from stepbench.scheduling.player import Player
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.stop_reason import StopReason
from support.fake_players import Stage


class Audience:
    """Plays a group, and keeps what is said to those who watch.

    Attributes:
        stopped: Why there were no more generations.
        left: The number of generations to come, after each generation.
        players: The players of each generation.
        looks: The number of generations at each look at the comparisons.
    """

    def __init__(
        self, stage: Stage, *names: str, logs: Sequence[float] = (), **options: object
    ) -> None:
        self.stage = stage
        self.left: list[int] = []
        self.players: list[set[str]] = []
        self.looks: list[int] = []
        self.activities: list[str] = []
        self._logs = logs
        given = {
            "generations": 3, "turns_s": 0.1, "steps": None, "rel_error": 0.02, "player_s": 1000.0,
            **options,
        }  # fmt: skip
        self.stopped = Group(names, stage.start, self._comparisons).play(
            GroupOptions(**given),  # type: ignore[arg-type]
            self.activities.append,
            self._note,
        )

    def _comparisons(self, generations: Sequence[Played[str, PlayerFacts]]) -> list[list[float]]:
        self.looks.append(len(generations))
        return [list(self._logs)] if self._logs else []

    def _note(self, generations: Sequence[Played[str, PlayerFacts]], left: int) -> None:
        assert [each.number for each in generations] == list(range(len(generations)))
        self.left.append(left)
        self.players.append(set(generations[-1].ready))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The stage whose time is that of generations and groups."""
    made = Stage()
    monkeypatch.setattr(generation, "time", made)
    monkeypatch.setattr(group, "time", made)
    yield made
    assert made.alive == set()


def test_the_first_stage_is_enough_if_it_is_precise(stage: Stage) -> None:
    seen = Audience(stage, "a", "b", logs=[0.1, 0.1, 0.1])
    assert seen.stopped == StopReason.PRECISE
    assert seen.left == [2, 1, 0]
    assert seen.looks == [3]
    assert seen.activities[0] == "generation 1 of 3: round 1"


def test_the_second_stage_has_the_number_needed_and_no_other_look(stage: Stage) -> None:
    seen = Audience(stage, "a", "b", logs=[0.0, 0.01, 0.02])
    # A quarter of the variance in `test_stopping`: 4.72 generations.
    assert seen.stopped == StopReason.PRECISE
    assert seen.left == [2, 1, 2, 1, 0]
    assert seen.looks == [3]
    assert seen.activities[-1].startswith("generation 5 of 5")


def test_only_the_first_generation_is_thorough(stage: Stage) -> None:
    Audience(stage, "a", "b", logs=[0.1, 0.1, 0.1])
    assert stage.thorough == [True, True, False, False, False, False]


def test_players_of_each_generation_are_started_anew(stage: Stage) -> None:
    Audience(stage, "a", "b", logs=[0.1, 0.1, 0.1])
    assert stage.count("start") == 6


def generation_s(stage: Stage) -> float:
    """The time of a generation of the players a and b, seconds."""
    Audience(stage, "a", "b", steps=None, generations=1)
    return stage.now_s


def test_no_generation_begins_that_would_not_end_in_time(stage: Stage) -> None:
    each_s = generation_s(stage)
    seen = Audience(stage, "a", "b", logs=[0.0, 0.5, 1.0], player_s=5.5 / 2 * each_s)
    assert seen.stopped == StopReason.TIME
    assert seen.left == [2, 1, 2, 1, 0]


def test_the_first_stage_may_take_longer_but_not_much(stage: Stage) -> None:
    each_s = generation_s(stage)
    in_time = FIRST_STAGE_OVERRUN * 1.1 * each_s
    seen = Audience(stage, "a", "b", logs=[0.0, 0.5, 1.0], generations=3, player_s=in_time / 2.8)
    # Three generations fit into twice the time, and the next one does not fit into the time.
    assert (seen.stopped, len(seen.left)) == (StopReason.TIME, 3)
    slow = Audience(stage, "a", "b", generations=9, player_s=0.8 * each_s)
    assert (slow.stopped, len(slow.left), slow.looks) == (StopReason.TIME, 3, [])


def test_there_are_two_generations_however_long_they_take(stage: Stage) -> None:
    seen = Audience(stage, "a", "b", player_s=0.0)
    assert (seen.stopped, len(seen.left)) == (StopReason.TIME, 2)


def test_a_number_of_steps_is_taken_in_a_single_generation(stage: Stage) -> None:
    seen = Audience(stage, "a", steps=7)
    assert (seen.stopped, seen.left, seen.looks) == (StopReason.STEPS, [0], [])
    assert seen.activities[0] == "generation 1 of 1: round 1"


def test_a_lost_player_is_not_started_again(stage: Stage) -> None:
    stage.fail = {("b", "bare"): Status.CRASHED, ("c", "prepare"): Status.CRASHED}
    seen = Audience(stage, "a", "b", "c", logs=[0.1, 0.1, 0.1])
    assert seen.players == [{"a", "b"}, {"a"}, {"a"}]
    assert seen.stopped == StopReason.PRECISE


def test_a_deferred_player_is_not_started_in_later_generations(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "limit_bytes", lambda: 0)
    monkeypatch.setattr(generation, "tree_bytes", lambda _: 1)
    seen = Audience(stage, "a", "b", logs=[0.1, 0.1, 0.1])
    assert seen.players == [{"a"}] * 3


def test_the_time_of_a_deferred_player_is_not_the_group_s(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    Audience(stage, "a", generations=1)
    each_s = stage.now_s
    spread = {"logs": [0.0, 0.5, 1.0], "player_s": 4.5 * each_s}
    alone = Audience(stage, "a", **spread)  # type: ignore[arg-type]
    monkeypatch.setattr(group, "limit_bytes", lambda: 0)
    monkeypatch.setattr(generation, "tree_bytes", lambda _: 1)
    with_deferred = Audience(stage, "a", "b", **spread)  # type: ignore[arg-type]
    assert len(with_deferred.left) == len(alone.left) == 4


def test_a_player_that_is_deferred_in_a_later_generation_is_not_started_again(
    stage: Stage,
) -> None:
    usual = stage.start

    def start(name: str) -> Player[PlayerFacts]:
        if stage.count("start") >= 2:
            stage.fail = {("b", "bare"): Status.OOM}
        return usual(name)

    stage.start = start  # type: ignore[method-assign]
    seen = Audience(stage, "a", "b", logs=[0.1, 0.1, 0.1])
    assert seen.players == [{"a", "b"}, {"a"}, {"a"}]


@pytest.mark.parametrize("event", ["prepare", "lapped", "finish"])
def test_once_everything_is_lost_no_generation_begins(stage: Stage, event: str) -> None:
    stage.fail = {("a", event): Status.CRASHED, ("b", event): Status.TIMEOUT}
    seen = Audience(stage, "a", "b")
    assert len(seen.left) == 1
    assert stage.count("start") == 2
