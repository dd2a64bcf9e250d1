"""Receives a job in a child process, runs it and sends the outcome."""

import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from stepbench.errors import UnsupportedError, UsageError
from stepbench.process import out_of_memory
from stepbench.process.compiler_errors import missing_tool
from stepbench.process.descendants import signal_at_end_of_parent
from stepbench.process.exception_chain import text
from stepbench.process.job import Job, Outcome
from stepbench.process.memory_watch import limit_reservations
from stepbench.process.messages import Messages
from stepbench.process.worker_errors import (
    SHARED_MEMORY_REMEDY,
    original_error,
    shortage_of_shared_memory,
)
from stepbench_reports.schema.status import Status


class Parent:
    """A child's end of its connection to its parent.

    Jobs that only report call it with a few words on their current activity. Jobs that take
    commands wait for the next one, and answer it.

    Args:
        connection: The connection to the parent.
    """

    def __init__(self, connection: Messages) -> None:
        self._connection = connection

    def __call__(self, activity: str) -> None:
        """Tells the parent the current activity, in a few words."""
        self._connection.send(("progress", activity))

    def next_command(self) -> Any:  # noqa: ANN401  # whatever the job's two sides agree upon
        """Waits for the parent's next command.

        Raises:
            EOFError: The parent has closed the connection.
        """
        return self._connection.recv()

    def answer(self, value: Any) -> None:  # noqa: ANN401
        """Answers the last command."""
        self._connection.send(("answer", value))


def child_main(connection: Messages) -> None:
    """Receives a job, runs it and sends the outcome.

    Args:
        connection: The connection to the process that sends the job.
    """
    connection.send(("started", None))
    _add_current_directory()
    job: Job = connection.recv()
    parent = Parent(connection)
    if job.memory_limit_bytes is not None:
        limit_reservations(job.memory_limit_bytes)
    connection.send(("outcome", _run(job, parent)))


def _add_current_directory() -> None:
    """Puts the current directory, which holds the user's modules, first on the search path."""
    sys.path.insert(0, str(Path.cwd()))


def _run(job: Job, parent: Parent) -> Outcome:
    try:
        module, _, name = job.function.partition(":")
        function = getattr(import_module(module), name)
        return Outcome(Status.OK, result=function(parent, *job.arguments))
    except UnsupportedError as error:
        return Outcome(Status.UNSUPPORTED, reason=str(error), axis=error.axis)
    except UsageError as error:
        return Outcome(Status.ERROR, reason=str(error), usage=True)
    except BaseException as error:  # noqa: BLE001  # the parent must learn of any failure
        status, reason = diagnose(error)
        axis = "compile" if status is Status.UNSUPPORTED else None
        return Outcome(status, reason=reason, detail=traceback.format_exc(), axis=axis)


def diagnose(error: BaseException) -> tuple[Status, str]:
    """Translates an exception into a status and a reason, with a remedy if one is known."""
    message = text(error)
    line = original_error(message) or message.splitlines()[0]
    shared_memory = shortage_of_shared_memory(error)
    if shared_memory is not None:
        return Status.OOM, f"{SHARED_MEMORY_REMEDY} ({shared_memory})"
    shortage = out_of_memory.shortage(error)
    if shortage is not None:
        return Status.OOM, f"out of memory; lower --batch-size or --num-workers ({shortage})"
    tool = missing_tool(message)
    if tool is not None:
        return Status.UNSUPPORTED, tool
    worker_died = "killed by" in message or "exited unexpectedly" in message
    if "DataLoader worker" in message and worker_died:
        return Status.CRASHED, f"a DataLoader worker died; try --num-workers 0 ({line})"
    return Status.ERROR, line


def die_with_parent(parent: int) -> None:
    """Has Linux kill this process when its parent process ends, even if the parent is killed.

    A server that ends normally ends its children itself.

    Args:
        parent: The process id of the parent.
    """
    signal_at_end_of_parent(signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)
