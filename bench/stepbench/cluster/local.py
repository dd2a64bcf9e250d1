"""The engine `local`: processes on this machine, which pretends to be some nodes."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence

from stepbench.cluster.engine import (
    LIFELINE,
    JobPhase,
    JobSpec,
    JobState,
    Node,
    node_environment,
)
from stepbench.config.cluster import ClusterOptions, whole_option
from stepbench.errors import UsageError

END_S = 30.0
"""The time that a cancelled job has to keep what it has measured, seconds."""
MAX_NODES = 64
OPTIONS = ("nodes",)


class LocalEngine:
    """Runs jobs as processes of this machine.

    Args:
        options: The option `nodes` is the number of pretended nodes, 1 by default: jobs that run at
            the same time share the machine, and disturb each other.

    Raises:
        UsageError: An option cannot be used.
    """

    name = "local"

    def __init__(self, options: ClusterOptions) -> None:
        for key in options.values:
            if key not in OPTIONS:
                raise UsageError(
                    f"--on-option {key}: --on local has no such option; choose from "
                    f"{', '.join(OPTIONS)}"
                )
        count = whole_option(options, "nodes", 1)
        if not 1 <= count <= MAX_NODES:
            raise UsageError(f"--on-option nodes={count}: give a number from 1 to {MAX_NODES}")
        self._nodes = tuple(Node(f"local-{number}") for number in range(1, count + 1))
        self._queue: deque[JobSpec] = deque()
        self._running: dict[Node, tuple[JobSpec, subprocess.Popen[bytes]]] = {}
        self._ended: dict[int, JobState] = {}

    def nodes(self) -> tuple[Node, ...]:
        """The pretended nodes."""
        return self._nodes

    def submit(self, jobs: Sequence[JobSpec]) -> None:
        """Queues jobs; `states` starts them as nodes are free."""
        self._queue.extend(jobs)
        self._start()

    def states(self) -> Mapping[int, JobState]:
        """The state of each job; starts the next jobs."""
        for node, (job, process) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                close_lifeline(process)
                del self._running[node]
                self._ended[job.number] = JobState(JobPhase.ENDED, node.name, _reason(code))
        self._start()
        running = {
            job.number: JobState(JobPhase.RUNNING, node.name)
            for node, (job, _) in self._running.items()
        }
        queued = {job.number: JobState(JobPhase.QUEUED) for job in self._queue}
        return {**self._ended, **running, **queued}

    def cancel(self) -> None:
        """Drops queued jobs and ends running ones, which keep what they have measured."""
        for job in self._queue:
            self._ended[job.number] = JobState(JobPhase.ENDED, reason="was cancelled")
        self._queue.clear()
        for _, process in self._running.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + END_S
        for _, process in self._running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.states()

    def close(self) -> None:
        """Ends all jobs."""
        self.cancel()

    def _start(self) -> None:
        for node in self._nodes:
            if node in self._running:
                continue
            job = next((job for job in self._queue if job.node in {None, node}), None)
            if job is not None:
                self._queue.remove(job)
                self._running[node] = job, start_process(job, node_environment(node))


def start_process(job: JobSpec, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Starts a job's command in a session of its own, which ends when this process does.

    Args:
        job: The job.
        environment: Environment variables beside those of this process.
    """
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        return subprocess.Popen(
            job.command,
            cwd=job.directory,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, LIFELINE: "1"},
            start_new_session=True,
        )


def close_lifeline(process: "subprocess.Popen[bytes]") -> None:
    """Closes the standard input of a process, which ends the process if it runs."""
    if process.stdin is not None:
        process.stdin.close()


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)


def _reason(code: int) -> str | None:
    """The reason for an exit code; `None` for 0."""
    if code == 0:
        return None
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"
