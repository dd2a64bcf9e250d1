import math

import pytest

from reports import comparison
from reports.stats import Interval


def test_the_eager_twin_differs_in_compile_alone() -> None:
    axes = {"batch_size": 4, "compile": "max-autotune", "precision": "bf16"}
    assert comparison.eager_twin(axes) == {**axes, "compile": "off"}
    assert comparison.eager_twin({**axes, "compile": "off"}) is None


def test_the_speedup_is_eager_over_compiled() -> None:
    ratio = comparison.speedup(Interval(8, 8, 8), Interval(10, 10, 10))
    assert (ratio.value, ratio.low, ratio.high) == (1.25, 1.25, 1.25)


def test_throughput_comes_from_the_bare_blocks_where_there_are_any() -> None:
    lapped = [
        {"kind": "lapped", "steps": 10, "elapsed_s": 0.5},
        {"kind": "lapped", "steps": 30, "elapsed_s": 1.5},
    ]
    bare = [
        {"kind": "bare", "steps": 10, "elapsed_s": 0.2},
        {"kind": "bare", "steps": 30, "elapsed_s": 1.4},
    ]
    assert comparison.samples_per_s(4, lapped) == pytest.approx(4 * 40 / 2.0)
    assert comparison.samples_per_s(4, lapped + bare) == pytest.approx(4 * 40 / 1.6)
    assert comparison.lapped_per_bare(lapped + bare) == pytest.approx(1.25)
    assert math.isnan(comparison.lapped_per_bare(lapped))
    assert math.isnan(comparison.samples_per_s(4, []))
    # Kinds of blocks that a later stepbench may have are left alone.
    assert comparison.samples_per_s(
        4, [*bare, {"kind": "isolated", "steps": 1, "elapsed_s": 9}]
    ) == (pytest.approx(100))
