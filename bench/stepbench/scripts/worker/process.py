"""A script's process from its request to its exit."""

import os
import random
import traceback
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from stepbench.errors import UsageError
from stepbench.process.child import Parent, diagnose, die_with_parent
from stepbench.process.job import Job, Outcome
from stepbench.process.messages import RecordMessages
from stepbench.scripts.requests import ScriptRequest
from stepbench.scripts.worker.import_hook import AfterImport
from stepbench.scripts.worker.running import ScriptExit, run_script
from stepbench_reports.schema.status import Status

if TYPE_CHECKING:
    from stepbench.scripts.worker.session import Session


def main(descriptor: int) -> int:
    """Receives the request, runs the script, and sends the outcome.

    Args:
        descriptor: The descriptor of the connection to the parent.

    Returns:
        The exit code of the process: the script's own.
    """
    die_with_parent(os.getppid())
    os.set_inheritable(descriptor, False)  # the script's own processes have no part in it
    connection = RecordMessages(Connection(descriptor))
    connection.send(("started", None))
    job: Job = connection.recv()
    request: ScriptRequest = job.arguments[0]
    runner = ScriptProcess(Parent(connection), request)
    code, outcome = runner.run()
    if outcome is not None:
        connection.send(("outcome", outcome))
    return code


class ScriptProcess:
    """Runs a script, whose hooks are installed once it has imported torch.

    Args:
        parent: The connection to the parent.
        request: The script.
    """

    def __init__(self, parent: Parent, request: ScriptRequest) -> None:
        self._parent = parent
        self._request = request
        self._session: Session | None = None
        self._pid = os.getpid()

    def run(self) -> tuple[int, Outcome | None]:
        """Runs the script; returns its exit code, and the outcome for the parent.

        There is no outcome in a process that the script has forked, and that ends as itself.
        """
        if self._request.seed is not None:
            random.seed(self._request.seed)
        AfterImport("torch", self._hook).install()
        try:
            ended = run_script(self._request.script)
            if os.getpid() != self._pid:
                return ended.code, None
            return self._concluded(ended)
        except UsageError as error:
            return 1, Outcome(Status.ERROR, reason=str(error), usage=True)
        except BaseException:  # noqa: BLE001  # the parent must learn of a fault of stepbench's own
            return 1, Outcome(
                Status.ERROR,
                reason="stepbench failed beside the script; its own traceback is kept",
                detail=traceback.format_exc(),
            )

    def _hook(self) -> None:
        from stepbench.scripts.worker.session import Session  # noqa: PLC0415  # imports torch

        self._session = Session(self._parent, self._request)

    def _concluded(self, ended: ScriptExit) -> tuple[int, Outcome]:
        session = self._session
        if session is not None:
            session.close()
        if session is not None and session.fault is not None:
            raise session.fault
        if session is None or not session.ready:
            steps = 0 if session is None else session.steps
            return ended.code, self._unmeasured(ended, steps, imported=session is not None)
        return ended.code, Outcome(Status.OK, result=session.end(ended))

    def _unmeasured(self, ended: ScriptExit, steps: int, *, imported: bool) -> Outcome:
        """The outcome of a script that ended before it could be measured."""
        name = self._request.script.shown
        code = f" (exit code {ended.code})" if ended.code else ""
        if isinstance(ended.error, Exception) and not isinstance(ended.error, UsageError):
            status, reason = diagnose(ended.error)
            detail = "".join(traceback.format_exception(ended.error))
            return Outcome(
                status,
                reason=f"{name} {ended.words}{code} before it was warm, after {steps} steps: "
                f"{reason}",
                detail=detail,
            )
        if not imported:
            missing = "it never imported torch, so that it cannot have trained in this process"
        elif steps == 0:
            missing = (
                "no optimizer of torch.optim took a step in its process, so that there is nothing "
                "to time; does it train in processes that it starts?"
            )
        else:
            missing = (
                f"it took {steps} optimizer steps, too few to warm up and to measure; give it "
                f"arguments for a longer training"
            )
        return Outcome(Status.ERROR, reason=f"{name} {ended.words}{code}: {missing}")
