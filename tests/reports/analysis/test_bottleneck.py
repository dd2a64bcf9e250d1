import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench_reports.analysis.bottleneck import CLOSE, Bottleneck, BottleneckKind, find

NAN = math.nan
STEP_S = 0.010
PHASES = ("dataload", "transfer", "forward", "backward", "optimizer")


def found(
    shares: dict[str, float], launch_overhead_s: float = NAN, loader_step_s: float = NAN
) -> Bottleneck:
    bottleneck = find(STEP_S, shares, launch_overhead_s, loader_step_s)
    assert bottleneck is not None
    return bottleneck


@pytest.mark.parametrize(
    ("shares", "launch_overhead_s", "kind", "part_s"),
    [
        ({"dataload": 0.6, "forward": 0.2, "backward": 0.2}, 0.001, BottleneckKind.DATA, 0.006),
        ({"dataload": 0.1, "transfer": 0.5, "forward": 0.4}, 0.001, BottleneckKind.TRANSFER, 0.005),
        ({"dataload": 0.1, "forward": 0.4, "backward": 0.5}, 0.007, BottleneckKind.LAUNCH, 0.007),
        ({"dataload": 0.1, "forward": 0.4, "backward": 0.5}, 0.002, BottleneckKind.COMPUTE, 0.007),
        (
            {"forward": 0.2, "backward": 0.2, "optimizer": 0.6},
            0.001,
            BottleneckKind.OPTIMIZER,
            0.006,
        ),
        # Compiled: what launching costs is not known.
        (
            {"dataload": 0.1, "forward": 0.3, "backward": 0.6},
            NAN,
            BottleneckKind.COMPUTE_OR_LAUNCH,
            0.009,
        ),
        # Evaluation has no backward and no optimizer.
        ({"dataload": 0.2, "forward": 0.8}, 0.001, BottleneckKind.COMPUTE, 0.007),
    ],
)
def test_the_longest_part_is_the_bound(
    shares: dict[str, float], launch_overhead_s: float, kind: BottleneckKind, part_s: float
) -> None:
    bottleneck = found(shares, launch_overhead_s)
    assert bottleneck.kinds == (kind,)
    assert bottleneck.parts[kind] == pytest.approx(part_s)
    assert bottleneck.share == pytest.approx(part_s / STEP_S)
    assert bottleneck.best_step_s == pytest.approx(STEP_S - part_s)
    assert bottleneck.gain == pytest.approx(STEP_S / (STEP_S - part_s))


def test_a_second_part_within_a_tenth_of_the_step_is_named_too() -> None:
    close = found({"dataload": 0.45, "forward": 0.40, "optimizer": 0.15}, 0.0)
    assert close.kinds == (BottleneckKind.DATA, BottleneckKind.COMPUTE)
    assert close.best_step_s == pytest.approx(0.0055)
    assert close.best_without(BottleneckKind.COMPUTE) == pytest.approx(0.006)
    apart = found({"dataload": 0.50, "forward": 0.39, "optimizer": 0.11}, 0.0)
    assert apart.kinds == (BottleneckKind.DATA,)


def test_launching_takes_no_more_than_forward_and_backward_do() -> None:
    bottleneck = found({"dataload": 0.4, "forward": 0.3, "backward": 0.3}, launch_overhead_s=1.0)
    assert bottleneck.parts == pytest.approx(
        {BottleneckKind.LAUNCH: 0.006, BottleneckKind.DATA: 0.004}
    )


def test_a_loader_at_its_limit_is_what_remains() -> None:
    shares = {"dataload": 0.05, "forward": 0.95}
    bottleneck = found(shares, 0.0, loader_step_s=0.008)
    assert bottleneck.kinds == (BottleneckKind.COMPUTE,)
    assert bottleneck.loader_limits(BottleneckKind.COMPUTE)
    assert bottleneck.best_step_s == 0.008
    assert bottleneck.gain == pytest.approx(1.25)
    # Lifting the wait for data lifts the loader.
    assert bottleneck.best_without(BottleneckKind.DATA) == pytest.approx(0.0095)
    # A loader slower than training shows it to be was measured too slow.
    assert found(shares, 0.0, loader_step_s=0.011).best_step_s == pytest.approx(0.0005)


def test_without_data_the_step_is_what_was_measured_with_nothing_to_load() -> None:
    shares = {"dataload": 0.6, "forward": 0.4}
    bottleneck = find(STEP_S, shares, 0.0, NAN, 0.001)
    assert bottleneck is not None
    assert bottleneck.best_step_s == 0.001
    assert bottleneck.best_without(BottleneckKind.COMPUTE) == pytest.approx(0.006)
    slow = find(STEP_S, shares, 0.0, NAN, 0.02)
    assert slow is not None
    assert slow.best_step_s == STEP_S


def test_without_compute_a_step_waits_for_the_launches_that_compute_hid() -> None:
    bottleneck = find(STEP_S, {"forward": 0.9, "optimizer": 0.1}, 0.0, hidden_launch_s=0.006)
    assert bottleneck is not None
    assert bottleneck.kinds == (BottleneckKind.COMPUTE,)
    assert BottleneckKind.LAUNCH not in bottleneck.parts
    assert bottleneck.best_step_s == pytest.approx(0.007)
    assert bottleneck.launches_limit(BottleneckKind.COMPUTE)
    assert bottleneck.best_without(BottleneckKind.OPTIMIZER) == pytest.approx(0.009)
    assert not bottleneck.launches_limit(BottleneckKind.OPTIMIZER)
    slow_loader = find(STEP_S, {"forward": 1.0}, 0.0, 0.008, hidden_launch_s=0.006)
    assert slow_loader is not None
    assert slow_loader.best_step_s == 0.008
    assert not slow_loader.launches_limit(BottleneckKind.COMPUTE)


def test_where_one_part_is_all_nothing_is_left() -> None:
    bottleneck = found({"forward": 1.0})
    assert bottleneck.best_step_s == 0
    assert bottleneck.gain == math.inf


@pytest.mark.parametrize(
    ("step_s", "shares"),
    [(NAN, {"forward": 1.0}), (0.01, {}), (0.01, {"forward": NAN}), (0.01, {"own": 1.0})],
)
def test_without_figures_there_is_no_bound(step_s: float, shares: dict[str, float]) -> None:
    assert find(step_s, shares, NAN) is None


@given(
    st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
    st.one_of(st.just(NAN), st.floats(0, 10)),
    st.floats(1e-6, 1e3),
)
def test_the_parts_are_the_step_and_the_first_is_the_longest(
    weights: list[float], fixed_share: float, step_s: float
) -> None:
    shares = dict(zip(PHASES, [weight / sum(weights) for weight in weights], strict=True))
    bottleneck = find(step_s, shares, fixed_share * step_s)
    assert bottleneck is not None
    assert math.fsum(bottleneck.parts.values()) == pytest.approx(step_s)
    assert bottleneck.parts[bottleneck.kinds[0]] == max(bottleneck.parts.values())
    assert 1 <= len(bottleneck.kinds) <= 2
    for kind in bottleneck.kinds:
        assert bottleneck.share - bottleneck.share_of(kind) < CLOSE
    assert bottleneck.best_step_s == pytest.approx(
        step_s * (1 - bottleneck.share), abs=step_s * 1e-9
    )
    assert bottleneck.gain >= 1


def test_every_kind_has_a_short_word() -> None:
    assert [kind.short for kind in BottleneckKind] == [
        "data", "workers", "transf.", "launch", "compute", "comp./launch", "optim.",
    ]  # fmt: skip
