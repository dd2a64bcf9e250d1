"""The engine `slurm`: arrays of jobs, submitted with submitit, each alone on its node."""

import getpass
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stepbench.cluster.engine import EngineError, JobPhase, JobSpec, JobState, Node
from stepbench.config.cluster import ClusterOptions
from stepbench.errors import UsageError

PROGRAMS = ("sbatch", "squeue", "sinfo", "scancel", "scontrol")
COMMAND_S = 60.0
"""The longest time that a program of SLURM may take, seconds."""
ARRAY_SIZE = 1001
"""The number of jobs in an array if SLURM does not say how many it allows."""
END_S = 45.0
"""The time that cancelled jobs have to keep what they have measured, seconds; SLURM's own is 30."""
VISIBLE_S = 30.0
"""The time after its submission in which a job may be unknown to `squeue`, seconds."""
RUNNING = {"RUNNING", "COMPLETING", "STOPPED", "SIGNALING", "STAGE_OUT"}
REASONS: Mapping[str, str | None] = {
    "COMPLETED": None,
    "FAILED": "ended with an error",
    "CANCELLED": "was cancelled",
    "TIMEOUT": "reached its time limit; give it more with --on-option time=4:00:00",
    "DEADLINE": "reached its deadline",
    "PREEMPTED": "was preempted by another job",
    "NODE_FAIL": "lost its node, which failed or no longer answers",
    "BOOT_FAIL": "lost its node, which could not boot",
    "OUT_OF_MEMORY": "used more memory than it was given; give more with --on-option mem=0",
    "REVOKED": "was revoked",
}
"""The reason for each state in which a job has ended; `None` if its command exited with 0."""
USUAL_WAITS = {"None", "Resources", "Priority", "JobArrayTaskLimit"}
"""Reasons why a job waits that need no attention."""
UNUSABLE = ("down", "drain", "fail", "maint", "unknown", "future", "error", "inval", "power")


class SlurmEngine:
    """Runs jobs on the nodes of a SLURM cluster.

    Args:
        options: Options of `sbatch`, by their long names.
        run: The directory of the run, after which its jobs are named.
        folder: A directory on the shared file system, for submitit's files.
        python: The command that starts Python for submitit; `None` for this process's interpreter.

    Raises:
        UsageError: submitit or a program of SLURM is missing, or an option cannot be used.
    """

    name = "slurm"

    def __init__(
        self, options: ClusterOptions, run: Path, folder: Path, *, python: str | None = None
    ) -> None:
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise UsageError(
                f"--on slurm: there is no {missing[0]} on the search path; start stepbench on a "
                f"login node of the cluster"
            )
        try:
            import submitit  # noqa: F401, PLC0415  # needed with --on slurm alone
        except ImportError:
            raise UsageError(
                "--on slurm: submitit is not installed; install it with: "
                "pip install 'stepbench[slurm]'"
            ) from None
        self._values = dict(options.values)
        _sbatch_options(self._values)  # refuses what jobs cannot have
        self._job_name = job_name(run)
        self._folder, self._python = folder, python
        self._numbers: dict[str, int] = {}
        self._backlog: list[tuple[Node | None, list[JobSpec]]] = []
        self._states: dict[int, JobState] = {}
        self._submitted_s: dict[int, float] = {}

    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the partition that are up, busy or not."""
        chosen = {"partition": "--partition", "nodelist": "--nodes"}
        limits = [f"{chosen[k]}={value}" for k, value in self._values.items() if k in chosen]
        names = {}
        for line in _output("sinfo", "-h", "-N", "-o", "%N|%T", *limits).splitlines():
            name, _, state = line.strip().partition("|")
            if name and not state.startswith(UNUSABLE) and not state.endswith("*"):
                names[name] = Node(name)
        return tuple(names.values())

    def submit(self, jobs: Sequence[JobSpec]) -> None:
        """Submits jobs as arrays that SLURM accepts; the rest as soon as there is room.

        Raises:
            EngineError: SLURM refuses the first array, or cannot be reached.
        """
        by_node: dict[Node | None, list[JobSpec]] = {}
        for job in jobs:
            by_node.setdefault(job.node, []).append(job)
        size = _array_size()
        self._backlog += [
            (node, list(of_node[first : first + size]))
            for node, of_node in by_node.items()
            for first in range(0, len(of_node), size)
        ]
        self._submit_backlog()

    def _submit_backlog(self) -> None:
        """Submits arrays until SLURM takes no more, because of a limit on the number of jobs."""
        while self._backlog:
            node, jobs = self._backlog[0]
            try:
                ids = self._submit_array(node, jobs)
            except EngineError:
                if any(s.phase is not JobPhase.ENDED for s in self._states.values()):
                    return
                raise
            del self._backlog[0]
            for job, job_id in zip(jobs, ids, strict=True):
                self._numbers[job_id] = job.number
                self._states[job.number] = JobState(JobPhase.QUEUED)
                self._submitted_s[job.number] = time.monotonic()

    def _submit_array(self, node: Node | None, jobs: Sequence[JobSpec]) -> list[str]:
        """Submits one array, and returns SLURM's ids of its jobs."""
        import submitit  # noqa: PLC0415  # needed with --on slurm alone
        from submitit.core.utils import FailedJobError, FailedSubmissionError  # noqa: PLC0415

        executor = submitit.SlurmExecutor(folder=self._folder, python=self._python)
        pinned = {} if node is None else {"nodelist": node.name}
        executor.update_parameters(
            job_name=self._job_name,
            time=None,
            array_parallelism=len(jobs),
            stderr_to_stdout=True,
            # With srun, the job would have one core of its node; bash waits for it to end in order.
            use_srun=False,
            setup=["trap : TERM"],
            additional_parameters=_sbatch_options({**self._values, **pinned}),
        )
        try:
            submitted: list[Any] = executor.map_array(
                subprocess.check_call, [_logged(job) for job in jobs]
            )
        except (
            FailedJobError,
            FailedSubmissionError,
            OSError,
            subprocess.SubprocessError,
        ) as error:
            raise EngineError(f"--on slurm: sbatch refuses the jobs: {error}") from None
        return [str(job.job_id) for job in submitted]

    def states(self) -> Mapping[int, JobState]:
        """The state of each job, from `squeue`; jobs that wait for room in the queue are queued."""
        self._submit_backlog()
        for job_id, state in self._queue():
            number = self._numbers.get(job_id)
            if number is not None:
                self._states[number] = state
        waiting = {
            job.number: JobState(JobPhase.QUEUED, reason="SLURM takes no more jobs at once")
            for _, jobs in self._backlog
            for job in jobs
        }
        return {**self._states, **waiting}

    def _queue(self) -> Iterator[tuple[str, JobState]]:
        """The state of each job that has not ended; one that SLURM has forgotten has ended."""
        open_ids = {
            job_id: number
            for job_id, number in self._numbers.items()
            if self._states[number].phase is not JobPhase.ENDED
        }
        if not open_ids:
            return
        masters = sorted({job_id.partition("_")[0] for job_id in open_ids})
        text = _output(
            "squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%N|%r", "-j", ",".join(masters),
            refused="Invalid job id",
        )  # fmt: skip
        seen = set()
        for line in text.splitlines():
            job_id, word, node, reason = (*line.strip().split("|", 3), "", "", "")[:4]
            seen.add(job_id)
            yield job_id, _state(word, node or None, reason)
        now_s = time.monotonic()
        for job_id, number in open_ids.items():
            if job_id not in seen and now_s - self._submitted_s[number] > VISIBLE_S:
                yield job_id, JobState(JobPhase.ENDED, self._states[number].node)

    def cancel(self) -> None:
        """Cancels the run's jobs, also those of an earlier process, and waits until they end."""
        self._backlog.clear()
        _output("scancel", f"--name={self._job_name}", f"--user={getpass.getuser()}")
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline:
            left = _output(
                "squeue", "-h", "-o", "%i", f"--name={self._job_name}",
                f"--user={getpass.getuser()}",
            )  # fmt: skip
            if not left.strip():
                return
            time.sleep(0.5)

    def close(self) -> None:
        """Does nothing: SLURM has all that runs."""


def job_name(run: Path) -> str:
    """The name of a run's jobs: the same for each process that works on the run, and for no other.

    Args:
        run: The directory of the run.
    """
    path = run.resolve()
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return f"stepbench-{re.sub('[^A-Za-z0-9._-]', '-', path.name)}-{digest}"


def _sbatch_options(values: Mapping[str, str]) -> dict[str, str | bool]:
    """Options of `sbatch`: those that a run needs, and the user's, which come first.

    Raises:
        UsageError: A job would be started a second time.
    """
    options: dict[str, str | bool] = {"exclusive": True, "no-requeue": True}
    for key, value in values.items():
        name = key.replace("_", "-")
        if value.lower() == "false":
            options.pop(name, None)
        else:
            options[name] = True if value.lower() in {"true", ""} else value
    if "requeue" in options or "no-requeue" not in options:
        raise UsageError(
            "--on-option requeue: a job is started once; leave the option out, and measure what a "
            "lost job has not with --resume"
        )
    return options


def _logged(job: JobSpec) -> list[str]:
    """A job's command, which writes its output to the job's log."""
    change = f'cd {shlex.quote(str(job.directory))} && exec "$@" >>"$0" 2>&1'
    return ["/bin/sh", "-c", change, str(job.log), *job.command]


def _state(word: str, node: str | None, reason: str) -> JobState:
    """A job's state, from the words of `squeue`."""
    if word in REASONS:
        return JobState(JobPhase.ENDED, node, REASONS[word])
    if word in RUNNING:
        return JobState(JobPhase.RUNNING, node)
    return JobState(JobPhase.QUEUED, reason=None if reason in USUAL_WAITS else reason)


def _array_size() -> int:
    """The number of jobs that an array may have."""
    match = re.search(
        r"^MaxArraySize\s*=\s*(\d+)", _output("scontrol", "show", "config"), re.MULTILINE
    )
    return max(1, int(match[1])) if match else ARRAY_SIZE


def _output(program: str, *arguments: str, refused: str | None = None) -> str:
    """The output of a program of SLURM.

    Args:
        program: The program.
        arguments: Its arguments.
        refused: A part of an error message with which there is no output, and no error.

    Raises:
        EngineError: The program fails or does not answer.
    """
    command = [program, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"--on slurm: {program} does not answer ({error})") from None
    if done.returncode == 0:
        return done.stdout
    message = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
    if refused is not None and refused in message:
        return done.stdout
    raise EngineError(f"--on slurm: {program} fails: {message[:300]}")
