"""Tries a workload file for a few steps, in a child process."""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.errors import UsageError
from stepbench.process.job import Job
from stepbench.process.server import ServerGoneError
from stepbench.process.start import start_server
from stepbench_reports.schema.run import SamplingOptions
from stepbench_reports.schema.status import Status

STEPS = 2
MAX_BATCH_SIZE = 8
"""The largest batch of a trial: it shows that a step works, and not how long it takes."""
DEADLINE_S = 600.0
"""The longest silence of a trial, seconds: it may generate or download the data."""
TAKE_STEPS = "stepbench.measurement.trial:take_steps"


def try_workload(spec: str, batch_size: int | None, on_progress: Callable[[str], None]) -> float:
    """Takes `STEPS` steps of a workload on the CPU, and returns the last loss.

    Args:
        spec: The workload, as `--workload` names it.
        batch_size: The script's batch size; `None` if it is not known.
        on_progress: Called with a few words on the current activity.

    Raises:
        UsageError: A step failed, with the reason.
    """
    samples = min(batch_size or MAX_BATCH_SIZE, MAX_BATCH_SIZE)
    case = Case(workload=spec, batch_size=samples, num_workers=0, device="cpu").normalized()
    on_progress("importing torch")
    try:
        server = start_server(("torch",), sys.path, Path.cwd())
        with TemporaryDirectory() as cache:
            request = Request(case, SamplingOptions(), Path(cache))
            try:
                server.wait_until_ready()
                outcome = server.run(
                    Job(TAKE_STEPS, (request, STEPS)),
                    deadline_s=DEADLINE_S,
                    on_progress=on_progress,
                )
            finally:
                server.close()
    except (OSError, ServerGoneError) as error:
        raise UsageError(f"{error}; see stepbench doctor") from error
    if outcome.status is not Status.OK:
        raise UsageError(outcome.reason or str(outcome.status))
    loss: float = outcome.result
    return loss
