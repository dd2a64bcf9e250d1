"""Compares each case with the reference, and with `--train-parity` its trained model as well."""

from stepbench.benchmarks.case_under_test import CaseUnderTest


def test_parity(training_step: CaseUnderTest) -> None:
    """Passes where the case computes what eager fp32 on the CPU computes."""
    training_step.assert_parity()


def test_training_parity(training_step: CaseUnderTest) -> None:
    """Passes where the case trains to the same test accuracy as its eager twin."""
    training_step.assert_training_parity()
