"""Is it still the same training? A test for each case, and with `--train-parity` another."""

from bench.plugin import Step


def test_parity(training_step: Step) -> None:
    """Passes where the case computes what eager fp32 on the CPU computes."""
    training_step.assert_parity()


def test_training_parity(training_step: Step) -> None:
    """Passes where the case trains to the same test accuracy as its eager twin."""
    training_step.assert_training_parity()
