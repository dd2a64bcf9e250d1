"""The processes that outlived the cases of a run, and were ended."""

from collections.abc import Mapping

from stepbench.process.job import Job
from stepbench.runner.run_log import RunLog


class LeftBehind:
    """Keeps the processes that outlived a case, by its id, and writes them to the run's log.

    Args:
        log: The run's log; the terminal shows a line at a case's first time.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._names: dict[str, dict[str, int]] = {}

    def add(self, job: Job, names: Mapping[str, int]) -> None:
        """Adds the processes that outlived a job.

        Args:
            job: The job.
            names: The number of processes of each name.
        """
        self._log.add_left_behind(job.label, names, quiet=job.label in self._names)
        known = self._names.setdefault(job.label, {})
        for name, number in names.items():
            known[name] = max(number, known.get(name, 0))

    def of(self, label: str) -> dict[str, int]:
        """The processes that outlived a job of this label: the most of each name at one time."""
        return dict(self._names.get(label, {}))
