import math
from typing import Any

import pytest

from stepbench_reports.analysis.launches import Launches
from stepbench_reports.read.step_figures import CaseContext, of_generation
from stepbench_reports.read.turns import Turns
from stepbench_reports.schema.measurement import TurnFacts

LAUNCHES = {"forward": Launches(0.0), "backward": Launches(0.0)}


def turn(kind: Any, steps: int, elapsed_s: float, **fields: Any) -> TurnFacts:
    usual = {"generation": 0, "round": 0, **fields}
    return TurnFacts(kind=kind, steps=steps, elapsed_s=elapsed_s, **usual)


def passes(forward_s: float, backward_s: float, **other_s: float) -> dict[str, float]:
    return {"forward": forward_s, "backward": backward_s, **other_s}


TAKEN = (
    turn("bare", 10, 1.0),
    turn("bare", 5, 9.0, counts=False),
    turn("lapped", 10, 1.1, phases_s=passes(0.4, 0.5, dataload=0.1)),
    turn("unloaded", 10, 0.5, phases_s=passes(0.2, 0.3)),
    turn("tiny", 10, 0.3, phases_s=passes(0.12, 0.18)),
)


def context(launches: Any = LAUNCHES, tiny_size: float = 1.0, *, device: bool = False) -> Any:
    return CaseContext(launches, tiny_size, 5.0, device)


def test_the_figures_of_a_generation_by_hand() -> None:
    figures = of_generation(Turns(TAKEN, workers=True), context())
    assert figures.step_s == pytest.approx(0.1)  # without the turn that is left out
    assert figures.shares == pytest.approx({"forward": 0.4, "backward": 0.5, "dataload": 0.1})
    assert figures.unloaded_step_s == pytest.approx(0.05)
    # 12 ms on one sample, 20 on five: 10 on none; 18 and 30: 15.
    assert figures.fixed_cost_s == pytest.approx(0.010 + 0.015)
    assert figures.hidden_launch_s == 0
    assert figures.worker_cores_s == pytest.approx(0.09 - 0.05)
    assert of_generation(Turns(TAKEN, workers=False), context()).worker_cores_s == 0
    assert of_generation(Turns(TAKEN, workers=True), context(device=True)).worker_cores_s == 0


def test_launches_that_are_hidden_over_all_generations_are_hidden_in_each() -> None:
    launches = {"forward": Launches(0.0, 0.011), "backward": Launches(0.014)}
    figures = of_generation(Turns(TAKEN, workers=False), context(launches))
    assert figures.hidden_launch_s == pytest.approx(0.010)
    assert figures.fixed_cost_s == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("taken", "tiny_size"), [(TAKEN[:4], 1.0), (TAKEN[:3], 1.0), (TAKEN, math.nan)]
)
def test_without_its_turns_the_fixed_cost_is_unknown(
    taken: tuple[TurnFacts, ...], tiny_size: float
) -> None:
    assert math.isnan(
        of_generation(Turns(taken, workers=False), context(tiny_size=tiny_size)).fixed_cost_s
    )


def test_without_bare_turns_the_step_is_the_lapped_one() -> None:
    figures = of_generation(Turns(TAKEN[2:], workers=False), context())
    assert figures.step_s == pytest.approx(0.11)


def test_turns_are_split_by_group_and_generation_without_those_that_compiled() -> None:
    taken = (
        turn("bare", 1, 1.0),
        turn("bare", 1, 2.0, generation=1),
        turn("bare", 1, 7.0, compiled=True),
        turn("bare", 1, 4.0, group=1),
        turn("bare", 1, 3.0),
    )
    parts = Turns(taken, workers=True).by_generation()
    assert [part.step_s("bare") for part in parts] == [2.0, 2.0, 4.0]
    assert all(part.workers for part in parts)
