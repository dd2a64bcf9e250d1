"""Tries a workload: checks it, builds it and takes a few steps that are not measured."""

from collections.abc import Callable

from stepbench.config.requests import Request
from stepbench.errors import UnsupportedError, UsageError
from stepbench.measurement.active_case import start_case
from stepbench.training.loop import train
from stepbench.training.preflight import preflight
from stepbench.workload.loading import failure_message


def take_steps(report: Callable[[str], None], request: Request, steps: int) -> float:
    """Takes some training steps.

    Args:
        report: Called with a few words on the progress.
        request: The case.
        steps: The number of steps.

    Returns:
        The loss of the last step.

    Raises:
        UsageError: A step failed; the message names the line of the user's file.
    """
    preflight(report, (request,))
    try:
        active = start_case(request, report)
        report("training")
        return float(train(active.built.training, active.source.batches, steps))
    except (UsageError, UnsupportedError):
        raise
    except Exception as error:
        raise UsageError(failure_message(request.case.workload, "raised", error)) from error
