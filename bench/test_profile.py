"""Where the time goes within a phase: with `--profile`, a test for each case."""

from bench.plugin import Step


def test_profile(training_step: Step) -> None:
    """Passes where the case could be profiled; the reports and TensorBoard show what was found."""
    training_step.assert_profile()
