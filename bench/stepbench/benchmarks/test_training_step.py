"""The benchmarks: each phase of each case's training step.

A case is measured once, in a process of its own, by the test of its first phase.
"""

import pytest

from stepbench.benchmarks.benchmark_replay import CLOCK, Benchmark, enter
from stepbench.benchmarks.case_under_test import CaseUnderTest


@pytest.mark.benchmark(timer=CLOCK)
def test_phase(training_step: CaseUnderTest, phase: str, benchmark: Benchmark) -> None:
    """Enters the laps of one phase; fails where the case could not be measured."""
    enter(training_step.measurement(), phase, benchmark)
