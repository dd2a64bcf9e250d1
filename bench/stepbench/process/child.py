"""Receives a job in a child process, runs it and answers with the outcome."""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepbench.errors import UnsupportedError, UsageError
from stepbench.process.job import Job, Outcome
from stepbench_reports.schema.status import Status

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def child_main(connection: "Connection[Any, Any]") -> None:
    """Receives a job, runs it and sends the outcome.

    Args:
        connection: The connection to the process that sends the job.
    """
    connection.send(("started", None))
    _find_user_code()
    job: Job = connection.recv()
    if job.memory_limit_bytes is not None:
        import resource  # noqa: PLC0415  # does not exist on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (job.memory_limit_bytes, job.memory_limit_bytes))

    def report(doing: str) -> None:
        connection.send(("progress", doing))

    connection.send(("answer", _answer(job, report)))


def _find_user_code() -> None:
    """Puts the current directory, which holds the user's modules, first on the search path."""
    sys.path.insert(0, str(Path.cwd()))


def _answer(job: Job, report: Callable[[str], None]) -> Outcome:
    try:
        module, _, name = job.function.partition(":")
        function = getattr(import_module(module), name)
        return Outcome(Status.OK, result=function(report, *job.arguments))
    except UnsupportedError as error:
        return Outcome(Status.UNSUPPORTED, reason=str(error), axis=error.axis)
    except UsageError as error:
        return Outcome(Status.ERROR, reason=str(error), usage=True)
    except BaseException as error:  # noqa: BLE001  # the parent must learn of any failure
        status, reason = diagnosed(error)
        return Outcome(status, reason=reason, detail=traceback.format_exc())


def diagnosed(error: BaseException) -> tuple[Status, str]:
    """Translates an exception into a status and a reason, with a remedy if one is known."""
    said = "".join(traceback.format_exception_only(error)).strip()
    first = said.splitlines()[0]
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"} or "allocate memory" in said:
        return Status.OOM, f"out of memory; lower --batch-size or --num-workers ({first})"
    if "DataLoader worker" in said and ("killed by" in said or "exited unexpectedly" in said):
        return (
            Status.CRASHED,
            (
                "a DataLoader worker died; does it run with --num-workers 0, and does its "
                f"shared memory suffice? ({first})"
            ),
        )
    return Status.ERROR, f"it raised {first}"


def die_with(parent: int) -> None:
    """Has Linux kill this process when its parent process ends, even if the parent is killed.

    A server that ends normally ends its children itself.

    Args:
        parent: The process id of the parent.
    """
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call of prctl
        os._exit(1)
