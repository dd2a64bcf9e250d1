import math

import pytest

from stepbench_reports.analysis import comparison
from stepbench_reports.analysis.stats import Interval
from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.measurement import Block


def test_the_uncompiled_case_differs_in_compile_alone() -> None:
    axes = Axes(workload="convnet", compile="max-autotune", precision="bf16")
    eager = axes.changed(compile="off").values()
    assert comparison.uncompiled(axes.values()) == eager
    assert comparison.uncompiled(eager) is None


def test_the_uncompiled_case_has_no_setting_of_the_compiler() -> None:
    axes = {"compile": "default", "dynamic": "on", "precision": "fp32"}
    uncompiled = {"compile": "off", "dynamic": "auto", "precision": "fp32"}
    assert comparison.uncompiled(axes) == uncompiled


def test_the_mean_step_is_all_time_over_all_steps_of_one_kind() -> None:
    blocks = [
        Block(kind="lapped", steps=10, elapsed_s=0.5),
        Block(kind="lapped", steps=30, elapsed_s=1.5),
        Block(kind="bare", steps=10, elapsed_s=0.2),
        Block(kind="bare", steps=30, elapsed_s=1.4),
    ]
    assert comparison.mean_block_step(blocks, "lapped").value == pytest.approx(0.05)
    assert comparison.mean_block_step(blocks, "bare").value == pytest.approx(0.04)
    assert math.isnan(comparison.mean_block_step(blocks, "bare").low)  # blocks of one process
    assert math.isnan(comparison.mean_block_step([], "bare").value)
    empty = [Block(kind="bare", steps=1, elapsed_s=0.0)]
    assert math.isnan(comparison.mean_block_step(empty, "bare").value)


def test_throughput_is_the_inverse_of_the_mean_step() -> None:
    rate = comparison.samples_per_s(8, Interval(0.04, 0.032, 0.05))
    assert (rate.value, rate.low, rate.high) == pytest.approx((200, 160, 250))


@pytest.mark.parametrize(
    ("speedup", "steps"),
    [
        (Interval(1.25, 1.2, 1.5), (1000.0, 500.0, 1250.0)),
        (Interval(1.25, math.nan, math.nan), (math.nan,) * 3),
        (Interval(1.25, 0.9, 1.5), (math.nan,) * 3),
        (Interval(0.9, 0.8, 0.99), (math.inf,)),
    ],
)
def test_after_how_many_steps_compiling_pays_off(
    speedup: Interval, steps: tuple[float, ...]
) -> None:
    result = comparison.break_even_steps(2.0, 0.008, speedup)
    for value, expected in zip((result.value, result.low, result.high), steps, strict=False):
        assert value == pytest.approx(expected, nan_ok=True)
