import math

import pytest

from stepbench_reports.analysis.launches import FixedCost, Launches, asynchronous, fixed_cost_s

SIZE = 32


def cost(tiny_ms: float, full_ms: float, tiny_size: int = 1) -> FixedCost:
    """The fixed cost from times on a tiny batch and on a whole batch, ms."""
    fixed_s = fixed_cost_s(tiny_ms / 1e3, full_ms / 1e3, tiny_size, SIZE)
    return FixedCost(fixed_s, full_ms / 1e3, tiny_size / SIZE)


@pytest.mark.parametrize("tiny_size", [1, 2, 4])
def test_the_fixed_cost_gives_back_the_time_on_the_tiny_batch(tiny_size: int) -> None:
    assert cost(6.0, 10.0, tiny_size).tiny_s == pytest.approx(0.006)
    assert cost(6.0, 5.0, tiny_size).tiny_s == pytest.approx(0.006)


@pytest.mark.parametrize(
    ("forward", "backward", "hides"),
    [
        pytest.param((2.0, 4.0), (4.0, 6.0), {"forward", "backward"}, id="both-hidden"),
        pytest.param((2.0, 2.1), (4.0, 4.3), set(), id="launch-bound"),
        pytest.param((2.0, 3.0), (4.0, 4.0), {"forward"}, id="forward-hidden"),
        pytest.param((3.0, 3.2), (3.0, 7.0), {"backward"}, id="backward-hidden"),
        # Forward's launches began during backward: 10 ms on the device, 6 on the host.
        pytest.param((3.0, 2.0), (3.0, 8.0), {"forward", "backward"}, id="sum-hidden"),
        # Backward's launches began during forward, but the host is the slower of the two.
        pytest.param((3.0, 5.8), (3.0, 0.4), set(), id="sum-launch-bound"),
    ],
)
def test_launches_are_hidden_where_the_device_is_slower_than_the_host(
    forward: tuple[float, float], backward: tuple[float, float], hides: set[str]
) -> None:
    costs = {"forward": cost(*forward), "backward": cost(*backward)}
    for phase, launches in asynchronous(costs).items():
        fixed_s = costs[phase].fixed_s
        assert launches == (Launches(0.0, fixed_s) if phase in hides else Launches(fixed_s))


def test_evaluation_is_judged_by_forward_alone() -> None:
    assert asynchronous({"forward": cost(6.0, 10.0)})["forward"].exposed_s == 0


def test_unknown_launches_stay_unknown() -> None:
    (launches,) = asynchronous({"forward": FixedCost(math.nan, 0.01, math.nan)}).values()
    assert math.isnan(launches.exposed_s)
    assert math.isnan(launches.hidden_s)
