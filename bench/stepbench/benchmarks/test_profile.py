"""Profiles each case, where `--profile` is given."""

from stepbench.benchmarks.case_under_test import CaseUnderTest


def test_profile(training_step: CaseUnderTest) -> None:
    """Passes where the case could be profiled; the reports and TensorBoard show the profile."""
    training_step.assert_profile()
