import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepbench_reports.analysis.bottleneck import (
    CLOSE,
    Bottleneck,
    BottleneckKind,
    StepFigures,
    find,
)

NAN = math.nan
STEP_S = 0.010
PHASES = ("dataload", "transfer", "forward", "backward", "optimizer")


def found(
    shares: dict[str, float],
    fixed_cost_s: float = NAN,
    loader_step_s: float = NAN,
    generations: Sequence[StepFigures] = (),
    workers: int = 0,
    **figures: float,
) -> Bottleneck:
    whole = StepFigures(STEP_S, shares, fixed_cost_s, **figures)
    bottleneck = find(whole, generations, loader_step_s=loader_step_s, workers=workers)
    assert bottleneck is not None
    return bottleneck


@pytest.mark.parametrize(
    ("shares", "fixed_cost_s", "kind", "part_s"),
    [
        ({"dataload": 0.6, "forward": 0.2, "backward": 0.2}, 0.001, BottleneckKind.DATA, 0.006),
        ({"dataload": 0.1, "transfer": 0.5, "forward": 0.4}, 0.001, BottleneckKind.TRANSFER, 0.005),
        ({"dataload": 0.1, "forward": 0.4, "backward": 0.5}, 0.007, BottleneckKind.FIXED, 0.007),
        ({"dataload": 0.1, "forward": 0.4, "backward": 0.5}, 0.002, BottleneckKind.COMPUTE, 0.007),
        (
            {"forward": 0.2, "backward": 0.2, "optimizer": 0.6},
            0.001,
            BottleneckKind.OPTIMIZER,
            0.006,
        ),
        # Compiled: the fixed cost is not known.
        (
            {"dataload": 0.1, "forward": 0.3, "backward": 0.6},
            NAN,
            BottleneckKind.COMPUTE_OR_FIXED,
            0.009,
        ),
        # Evaluation has no backward and no optimizer.
        ({"dataload": 0.2, "forward": 0.8}, 0.001, BottleneckKind.COMPUTE, 0.007),
    ],
)
def test_the_longest_part_is_the_bound(
    shares: dict[str, float], fixed_cost_s: float, kind: BottleneckKind, part_s: float
) -> None:
    bottleneck = found(shares, fixed_cost_s)
    assert bottleneck.kinds == (kind,)
    assert bottleneck.parts[kind] == pytest.approx(part_s)
    assert bottleneck.share == pytest.approx(part_s / STEP_S)
    assert bottleneck.best_step_s == pytest.approx(STEP_S - part_s)
    assert bottleneck.gain.value == pytest.approx(STEP_S / (STEP_S - part_s))


def test_a_second_part_within_a_tenth_of_the_step_is_named_too() -> None:
    close = found({"dataload": 0.45, "forward": 0.40, "optimizer": 0.15}, 0.0)
    assert close.kinds == (BottleneckKind.DATA, BottleneckKind.COMPUTE)
    assert close.best_step_s == pytest.approx(0.0055)
    assert close.best_without(BottleneckKind.COMPUTE).value == pytest.approx(0.006)
    apart = found({"dataload": 0.50, "forward": 0.39, "optimizer": 0.11}, 0.0)
    assert apart.kinds == (BottleneckKind.DATA,)


def test_the_fixed_cost_is_no_more_than_forward_and_backward_do() -> None:
    bottleneck = found({"dataload": 0.4, "forward": 0.3, "backward": 0.3}, fixed_cost_s=1.0)
    assert bottleneck.parts == pytest.approx(
        {BottleneckKind.FIXED: 0.006, BottleneckKind.DATA: 0.004}
    )


def test_a_loader_at_its_limit_is_what_remains() -> None:
    shares = {"dataload": 0.05, "forward": 0.95}
    bottleneck = found(shares, 0.0, loader_step_s=0.008)
    assert bottleneck.kinds == (BottleneckKind.COMPUTE,)
    assert bottleneck.loader_limits(BottleneckKind.COMPUTE)
    assert bottleneck.best_step_s == 0.008
    assert bottleneck.gain.value == pytest.approx(1.25)
    # Lifting the wait for data lifts the loader.
    assert bottleneck.best_without(BottleneckKind.DATA).value == pytest.approx(0.0095)
    # A loader slower than training shows it to be was measured too slow.
    assert found(shares, 0.0, loader_step_s=0.011).best_step_s == pytest.approx(0.0005)


def test_with_nothing_to_load_the_step_is_what_was_measured_so() -> None:
    shares = {"dataload": 0.5, "forward": 0.5}
    bottleneck = found(shares, 0.001, unloaded_step_s=0.002, worker_cores_s=0.002)
    assert bottleneck.parts == pytest.approx(
        {
            BottleneckKind.DATA: 0.005, BottleneckKind.WORKERS: 0.002,
            BottleneckKind.COMPUTE: 0.002, BottleneckKind.FIXED: 0.001,
        }
    )  # fmt: skip
    assert bottleneck.best_step_s == 0.002
    assert bottleneck.best_without(BottleneckKind.WORKERS).value == 0.002  # waiting ends, too
    assert bottleneck.best_without(BottleneckKind.COMPUTE).value == pytest.approx(0.008)
    unknown = found(shares, 0.001, worker_cores_s=0.002)
    assert unknown.best_without(BottleneckKind.WORKERS).value == pytest.approx(0.008)


def test_without_compute_a_step_waits_for_the_launches_that_compute_hid() -> None:
    bottleneck = found({"forward": 0.9, "optimizer": 0.1}, 0.0, hidden_launch_s=0.006)
    assert bottleneck.kinds == (BottleneckKind.COMPUTE,)
    assert BottleneckKind.FIXED not in bottleneck.parts
    assert bottleneck.best_step_s == pytest.approx(0.007)
    assert bottleneck.launches_limit(BottleneckKind.COMPUTE)
    assert bottleneck.best_without(BottleneckKind.OPTIMIZER).value == pytest.approx(0.009)
    assert not bottleneck.launches_limit(BottleneckKind.OPTIMIZER)
    slow_loader = found({"forward": 1.0}, 0.0, 0.008, hidden_launch_s=0.006)
    assert slow_loader.best_step_s == 0.008
    assert not slow_loader.launches_limit(BottleneckKind.COMPUTE)


def test_a_gain_is_that_of_each_generation() -> None:
    # The machine is twice as slow in the second generation: the step as a whole is no sample.
    shares = {"dataload": 0.5, "forward": 0.4, "optimizer": 0.1}
    generations = [
        StepFigures(scale * STEP_S, shares, scale * 0.002, scale * unloaded_s)
        for scale, unloaded_s in ((1, 0.0049), (2, 0.0051))
    ]
    bottleneck = found(shares, 0.002, NAN, generations, unloaded_step_s=0.0075)
    data = bottleneck.gain
    assert data.value == pytest.approx(2, rel=1e-3)
    half = math.log(51 / 49) / 2 * 12.706  # Student's t with one degree of freedom
    assert (data.low, data.high) == pytest.approx(
        (data.value * math.exp(-half), data.value * math.exp(half)), rel=1e-3
    )
    step = bottleneck.best_without(BottleneckKind.DATA)
    assert (step.value, step.low, step.high) == pytest.approx(
        (STEP_S / data.value, STEP_S / data.high, STEP_S / data.low)
    )
    optimizer = bottleneck.gain_without(BottleneckKind.OPTIMIZER)
    assert (optimizer.value, optimizer.low, optimizer.high) == pytest.approx((1 / 0.9,) * 3)


@pytest.mark.parametrize("generations", [1, 2])
def test_without_the_part_in_several_generations_a_gain_has_no_interval(generations: int) -> None:
    shares = {"forward": 0.8, "optimizer": 0.2}
    known = StepFigures(STEP_S, shares, 0.006)
    unknown = StepFigures(STEP_S, shares)
    bottleneck = found(shares, 0.006, NAN, [known, unknown][:generations])
    assert bottleneck.kinds == (BottleneckKind.FIXED,)
    assert bottleneck.gain.value == pytest.approx(2.5)
    assert math.isnan(bottleneck.gain.low)


def test_a_larger_batch_pays_the_fixed_cost_and_the_optimizer_once() -> None:
    # 6 ms for two batches instead of 12; the remaining 4 ms of each are paid twice.
    bottleneck = found({"dataload": 0.2, "forward": 0.7, "optimizer": 0.1}, 0.005)
    assert bottleneck.gain_of_double_batch().value == pytest.approx(20 / 14)
    assert math.isnan(found({"forward": 1.0}).gain_of_double_batch().value)


def test_without_workers_a_batch_takes_as_long_as_it_takes_one_of_them() -> None:
    # Two workers give a batch every 3 ms, so each makes one in 6 ms; a step takes 2 ms without.
    bottleneck = found(
        {"dataload": 0.3, "forward": 0.7}, 0.001, 0.003,
        workers=2, unloaded_step_s=0.002, worker_cores_s=0.004,
    )  # fmt: skip
    assert bottleneck.gain_without_workers().value == pytest.approx(10 / 8)
    assert math.isnan(found({"forward": 1.0}, 0.001).gain_without_workers().value)


def test_where_one_part_is_all_nothing_is_left() -> None:
    bottleneck = found({"forward": 1.0})
    assert bottleneck.best_step_s == 0
    assert bottleneck.gain.value == math.inf


@pytest.mark.parametrize(
    ("step_s", "shares"),
    [(NAN, {"forward": 1.0}), (0.01, {}), (0.01, {"forward": NAN}), (0.01, {"own": 1.0})],
)
def test_without_figures_there_is_no_bound(step_s: float, shares: dict[str, float]) -> None:
    assert find(StepFigures(step_s, shares)) is None


@given(
    st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
    st.one_of(st.just(NAN), st.floats(0, 10)),
    st.floats(1e-6, 1e3),
)
def test_the_parts_are_the_step_and_the_first_is_the_longest(
    weights: list[float], fixed_share: float, step_s: float
) -> None:
    shares = dict(zip(PHASES, [weight / sum(weights) for weight in weights], strict=True))
    figures = StepFigures(step_s, shares, fixed_share * step_s)
    bottleneck = find(figures, (figures, figures))
    assert bottleneck is not None
    assert math.fsum(bottleneck.parts.values()) == pytest.approx(step_s)
    assert bottleneck.parts[bottleneck.kinds[0]] == max(bottleneck.parts.values())
    assert 1 <= len(bottleneck.kinds) <= 2
    for kind in bottleneck.kinds:
        assert bottleneck.share - bottleneck.share_of(kind) < CLOSE
    assert bottleneck.best_step_s == pytest.approx(
        step_s * (1 - bottleneck.share), abs=step_s * 1e-9
    )
    assert bottleneck.gain.value >= 1 - 1e-9
    # However long the step with next to no data took, a larger batch saves half of a step at most.
    doubled = bottleneck.gain_of_double_batch().value
    assert math.isnan(doubled) if math.isnan(fixed_share) else 1 <= doubled <= 2 + 1e-9


def test_every_kind_has_a_short_word() -> None:
    assert [kind.short for kind in BottleneckKind] == [
        "data", "workers", "transf.", "fixed", "compute", "comp./fixed", "optim.",
    ]  # fmt: skip
