"""Jobs about a run's cases, each run in a child process."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stepbench.config.case import Case
from stepbench.config.options import Options
from stepbench.config.requests import Request
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.results.run_directory import RunDirectory


@dataclass(frozen=True)
class CaseJobs:
    """Makes the requests of a run's cases, and runs jobs with the limits of a case.

    Attributes:
        options: The run's options.
        directory: The run's directory.
        server: The server that starts children.
        on_progress: Called with a few words on the child's current activity.
    """

    options: Options
    directory: RunDirectory
    server: Server
    on_progress: Callable[[str], None]

    def request(self, case: Case) -> Request:
        """Makes the request from which a child builds a case."""
        return self.options.request(case, self.compile_cache(case))

    def compile_cache(self, case: Case) -> Path:
        """The compile cache of a case, shared by all cases that compile to the same code."""
        key = case if self.options.cold else case.compile_key
        return self.directory.compile_cache / key.id

    def run(self, job: Job, extra_s: float = 0.0) -> Outcome:
        """Runs a job in a child.

        Args:
            job: The job.
            extra_s: Seconds that the job may be silent beyond a case's deadline.
        """
        return self.server.run(
            replace(job, memory_limit_bytes=self.options.memory_limit_bytes),
            deadline_s=self.options.deadline_s + extra_s,
            on_progress=self.on_progress,
        )
