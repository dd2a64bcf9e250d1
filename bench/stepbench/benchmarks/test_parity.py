"""Compares each case's tensors with the reference, and trained models with `--train-parity`."""

from stepbench.benchmarks.case_under_test import CaseUnderTest


def test_parity(training_step: CaseUnderTest) -> None:
    """Passes if the case's tensors match eager execution in double precision on the CPU."""
    training_step.assert_parity()


def test_training_parity(training_step: CaseUnderTest) -> None:
    """Passes if the case trains to the same test accuracy as in eager fp32."""
    training_step.assert_training_parity()
