"""A job of a run on a cluster, on its node: measures some cases into a directory of its own.

`python -m stepbench job FILE` is what an engine starts; people have no use for it.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from stepbench import machine
from stepbench.cluster.engine import LIFELINE, NODE_ID
from stepbench.cluster.job_files import JobFiles, differing_packages
from stepbench.config import options
from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.interruption import signals_ignored
from stepbench.process.server import ServerGoneError
from stepbench.results.writing import StoreError
from stepbench.runner import resume
from stepbench.runner.progress import Task
from stepbench.runner.run import Runner
from stepbench_reports.schema.cluster import JobEnding, JobRequest, JobStart
from stepbench_reports.schema.files import DamageError
from stepbench_reports.schema.names import file_name
from stepbench_reports.schema.status import Status

UNREADABLE = 3
"""The exit code if the job's file cannot be read, or its outcome cannot be written."""
INTERRUPTION = "was interrupted, by the engine or a user"


def main(arguments: Sequence[str]) -> int:
    """Runs a job.

    Args:
        arguments: The path of the job's file, `RUN/jobs/NUMBER.json`.

    Returns:
        0 if the job's outcome is written, whatever it is.
    """
    file = Path(arguments[0] if arguments else "")
    files = JobFiles(file.parent.parent)
    try:
        request = files.read_request(int(file.stem))
    except (OSError, DamageError, ValueError) as error:
        print(
            f"error: stepbench job {file}: cannot be read on {socket.gethostname()} ({error}); the "
            f"run directory has to lie on a file system that all nodes share: give --output there",
            file=sys.stderr,
        )
        return UNREADABLE
    if LIFELINE in os.environ:
        threading.Thread(target=_end_with_starter, daemon=True).start()
    ending, reason = JobEnding.DONE, None
    try:
        ending, reason = _run(request, files)
    except (UsageError, StoreError, ServerGoneError) as error:
        ending = JobEnding.REFUSED if isinstance(error, UsageError) else JobEnding.FAILED
        reason = str(error)
    except KeyboardInterrupt:
        ending, reason = JobEnding.INTERRUPTED, INTERRUPTION
    except Exception as error:
        ending, reason = JobEnding.FAILED, f"{type(error).__name__}: {error}"
        raise
    finally:
        if reason is not None:
            print(f"{ending}: {reason}", flush=True)
        code = _write_outcome(files, request.number, ending, reason)
    return code


def _write_outcome(files: JobFiles, number: int, ending: JobEnding, reason: str | None) -> int:
    with signals_ignored():
        try:
            files.write_outcome(number, ending, reason)
        except StoreError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return UNREADABLE
    return 0


def _end_with_starter() -> None:
    """Interrupts this process when its standard input ends: who has started it is gone."""
    with open(0, "rb", buffering=0, closefd=False) as lifeline:
        while lifeline.read(1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


def node_name() -> str:
    """The name of this node, as its engine has it."""
    name = os.environ.get(machine.NODE) or os.environ.get("SLURMD_NODENAME")
    return file_name(name or socket.gethostname())


def _run(request: JobRequest, files: JobFiles) -> tuple[JobEnding, str | None]:
    """Measures the cases of a job.

    Raises:
        UsageError: The node cannot measure them.
        StoreError: A result cannot be written.
        ServerGoneError: The server is lost for the second time.
    """
    node = node_name()
    os.environ[machine.NODE] = node
    start = JobStart(
        node=node,
        node_id=os.environ.get(NODE_ID),
        host=socket.gethostname(),
        began=datetime.now(UTC),
    )
    files.write_start(request.number, start)
    differing = differing_packages(request.run.packages, machine.packages(), node)
    if differing:
        return JobEnding.REFUSED, differing
    try:
        os.chdir(request.directory)
    except OSError as error:
        raise UsageError(
            f"node {node} has no directory {request.directory} ({error.strerror}), from which "
            f"stepbench was started; start it from a file system that all nodes share"
        ) from None
    folder = files.folder(request.number)
    stored = resume.stored_options(options.read({}, Path.cwd()), request.run, folder)
    run = Runner(
        replace(
            stored,
            sampling=request.run.sampling,
            memory_limit_bytes=request.memory_limit_bytes,
            download=request.download,
            output=folder,
        ),
        [],
        Console(file=sys.stdout, width=200, no_color=True),
    )
    try:
        _measure(run, request)
    finally:
        with signals_ignored():
            run.close()
    return JobEnding.DONE, None


def _measure(run: Runner, request: JobRequest) -> None:
    """Measures, compares and profiles the cases that a job is asked for."""
    run.claim()
    run.open()
    run.print_header()
    by_id = {case.id: case for case in run.cases}
    tasks = {
        Task.PARITY: [by_id[name] for name in request.parity],
        Task.TRAINING_PARITY: [by_id[name] for name in request.train_parity],
        Task.PROFILE: [by_id[name] for name in request.profiles],
    }
    measured = [by_id[name] for name in request.measured]
    run.expect(measured, tasks)
    for case in measured:
        run.measure(case)
    for case in run.cases:
        _check(run, case, tasks)


def _check(run: Runner, case: Case, tasks: dict[Task, list[Case]]) -> None:
    """Compares and profiles a case, unless its measurement has failed."""
    measured = run.measured(case)
    if measured is not None and measured.status is not Status.OK:
        return
    if case in tasks[Task.PARITY]:
        run.judge(case)
    if case in tasks[Task.TRAINING_PARITY]:
        run.judge_training(case)
    if case in tasks[Task.PROFILE]:
        run.profile(case)
