"""The benchmarks: each phase of each case's training step.

The test of a case's first phase measures the case, once, in a separate process.
"""

import pytest

from stepbench.benchmarks.benchmark_replay import CLOCK, Benchmark, replay_phase
from stepbench.benchmarks.case_under_test import CaseUnderTest


@pytest.mark.benchmark(timer=CLOCK)
def test_phase(training_step: CaseUnderTest, phase: str, benchmark: Benchmark) -> None:
    """Replays the laps of one phase into pytest-benchmark; fails if measuring failed."""
    replay_phase(training_step.measurement(), phase, benchmark)
