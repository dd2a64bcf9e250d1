"""The benchmarks: each phase of each case's training step.

A case is measured once, in a process of its own, when the first of its phases is asked for.
"""

import pytest

from bench.ledger import CLOCK, Benchmark, enter
from bench.plugin import Step


@pytest.mark.benchmark(timer=CLOCK)
def test_phase(training_step: Step, phase: str, benchmark: Benchmark) -> None:
    """Enters the laps of one phase; fails where the case could not be measured."""
    enter(training_step.measurement(), phase, benchmark)
