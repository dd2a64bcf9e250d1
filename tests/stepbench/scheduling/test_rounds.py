from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench.config.turns import TurnKind
from stepbench.scheduling.rounds import (
    LOADED,
    ROUNDS_OF_RUNS,
    cores_of_round,
    order_of_round,
    steps_per_turn,
)
from support import played
from support.fake_players import generator


@given(st.integers(1, 6), st.integers(0, 2**32))
def test_each_player_takes_each_kind_of_turn_once_and_in_reverse_order(
    players: int, seed: int
) -> None:
    names = [f"p{index}" for index in range(players)]
    turns = order_of_round(names, LOADED, generator(seed))
    first, second = turns[:players], turns[players:]
    assert len({kind for _, kind in first}) == len({kind for _, kind in second}) == 1
    assert {first[0][1], second[0][1]} == set(LOADED)
    assert sorted(name for name, _ in first) == names
    assert [name for name, _ in second] == [name for name, _ in reversed(first)]


def test_all_orders_occur_about_equally_often() -> None:
    rng = generator(0)
    orders = Counter(tuple(order_of_round(["a", "b", "c"], LOADED, rng)) for _ in range(1200))
    assert len(orders) == 6 * 2
    assert min(orders.values()) > 60  # 100 are expected; the seed is fixed


def test_an_even_drift_meets_all_players_alike() -> None:
    turns = order_of_round(["a", "b", "c"], LOADED, generator(1))
    places = {name: 0 for name, _ in turns}
    for place, (name, _) in enumerate(turns):
        places[name] += place
    assert len(set(places.values())) == 1


def test_players_on_one_core_all_use_the_same_and_another_one_in_the_next_round() -> None:
    single = played.ready(threads=1)
    assert [cores_of_round(single, (2, 5), number) for number in range(3)] == [(2,), (5,), (2,)]


@pytest.mark.parametrize("values", [{"threads": 2}, {"threads": 1, "workers": 1}])
def test_players_with_threads_or_workers_use_all_cores(values: dict[str, int]) -> None:
    assert cores_of_round(played.ready(**values), (2, 5), 1) == (2, 5)


@pytest.mark.parametrize(
    ("step_s", "prefetched", "turns_s", "steps"),
    [
        pytest.param(0.001, 0, 10.0, 60, id="60-ms"),
        pytest.param(0.5, 0, 10.0, 1, id="one-long-step"),
        pytest.param(0.01, 4, 10.0, 16, id="four-times-what-is-ready"),
        pytest.param(0.1, 4, 1.2, 3, id="a-quarter-of-the-time"),
        pytest.param(9.0, 4, 1.2, 1, id="at-least-one"),
        pytest.param(0.001, 0, 0.0, 15, id="no-time"),
    ],
)
def test_the_steps_of_a_turn(step_s: float, prefetched: int, turns_s: float, steps: int) -> None:
    ready = played.ready(step_s, prefetched_steps=prefetched)
    assert steps_per_turn(ready, ROUNDS_OF_RUNS, turns_s) == steps


def test_a_player_that_became_slower_takes_fewer_steps() -> None:
    ready = played.ready(0.001)
    assert steps_per_turn(ready, ROUNDS_OF_RUNS, 10.0, [0.01, 0.01, 9.0]) == 6
    assert steps_per_turn(ready, ROUNDS_OF_RUNS, 10.0, [0.0001]) == 60  # but never more


def test_the_kinds_of_turn_are_those_of_the_record() -> None:
    assert [kind.value for kind in TurnKind] == ["lapped", "bare", "unloaded", "tiny"]
