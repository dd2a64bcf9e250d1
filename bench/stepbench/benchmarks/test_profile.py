"""Profiles each case if `--profile` is given."""

from stepbench.benchmarks.case_under_test import CaseUnderTest


def test_profile(training_step: CaseUnderTest) -> None:
    """Passes if profiling succeeds; the reports and TensorBoard show the profile."""
    training_step.assert_profile()
