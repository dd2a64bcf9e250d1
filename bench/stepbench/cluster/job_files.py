"""The files of a run's jobs, in `jobs/` of the run directory.

The submitting process writes a job's request; all other files of a job are written by the job.
"""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from stepbench.results.writing import store_errors
from stepbench_reports.schema import cluster
from stepbench_reports.schema.cluster import JobEnding, JobOutcome, JobRequest, JobStart
from stepbench_reports.schema.files import JOBS, DamageError, read_record, write_record

LOG_BYTES = 16 * 2**10
"""The length of a log's end that is searched for the last line, bytes."""
_REQUEST = re.compile(r"([0-9]{4,})\.json")
_START = re.compile(r"([0-9]{4,})\.start\.json")
_OUTCOME = re.compile(r"([0-9]{4,})\.outcome\.json")


class JobFiles:
    """The files of a run's jobs.

    Args:
        run: The run's directory.

    Attributes:
        path: The directory `jobs/`.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / JOBS

    def request_file(self, number: int) -> Path:
        """The file that tells the job what to measure."""
        return self.path / f"{number:04}.json"

    def folder(self, number: int) -> Path:
        """The run directory of the job."""
        return self.path / f"{number:04}"

    def log(self, number: int) -> Path:
        """The file of the job's output."""
        return self.path / f"{number:04}.log"

    def requested(self) -> tuple[int, ...]:
        """The numbers of all jobs, in order."""
        return tuple(sorted(self._numbers(_REQUEST)))

    def started(self) -> frozenset[int]:
        """The numbers of the jobs that have begun."""
        return frozenset(self._numbers(_START))

    def ended(self) -> frozenset[int]:
        """The numbers of the jobs that have written their outcome."""
        return frozenset(self._numbers(_OUTCOME))

    def _numbers(self, name: re.Pattern[str]) -> set[int]:
        try:
            with os.scandir(self.path) as entries:
                matches = [name.fullmatch(entry.name) for entry in entries]
        except FileNotFoundError:
            return set()
        return {int(match[1]) for match in matches if match is not None}

    def write_request(self, request: JobRequest) -> None:
        """Writes what a job measures.

        Raises:
            StoreError: The file cannot be written.
        """
        file = self.request_file(request.number)
        with store_errors(file):
            write_record(file, request)

    def read_request(self, number: int) -> JobRequest:
        """Reads what a job measures.

        Raises:
            FileNotFoundError: There is no such job.
            DamageError: The file cannot be used.
        """
        return read_record(self.request_file(number), JobRequest, cluster.SCHEMA)

    def write_start(self, number: int, start: JobStart) -> None:
        """Writes where a job runs.

        Raises:
            StoreError: The file cannot be written.
        """
        file = self.path / f"{number:04}.start.json"
        with store_errors(file):
            write_record(file, start)

    def read_start(self, number: int) -> JobStart | None:
        """Reads where a job runs; `None` if it has not said so, or the file is damaged."""
        try:
            return read_record(self.path / f"{number:04}.start.json", JobStart, cluster.SCHEMA)
        except (FileNotFoundError, DamageError):
            return None

    def write_outcome(self, number: int, ending: JobEnding, reason: str | None = None) -> None:
        """Writes how a job has ended.

        Raises:
            StoreError: The file cannot be written.
        """
        file = self.path / f"{number:04}.outcome.json"
        outcome = JobOutcome(ending=ending, reason=reason, ended=datetime.now(UTC))
        with store_errors(file):
            write_record(file, outcome)

    def read_outcome(self, number: int) -> JobOutcome | None:
        """Reads how a job has ended; `None` if it has not said so, or the file is damaged."""
        try:
            return read_record(self.path / f"{number:04}.outcome.json", JobOutcome, cluster.SCHEMA)
        except (FileNotFoundError, DamageError):
            return None

    def last_line(self, number: int) -> str | None:
        """The last line of a job's output; `None` if there is none."""
        try:
            with self.log(number).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return None
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else None


def differing_packages(wanted: Mapping[str, str], found: Mapping[str, str], node: str) -> str:
    """Says which of stepbench's and torch's versions differ on a node; empty if none does.

    Args:
        wanted: The versions of the submitting process.
        found: The versions on the node.
        node: The node's name.
    """
    differences = [
        f"{name} {found.get(name, 'is not installed')} instead of {wanted[name]}"
        for name in ("stepbench", "torch")
        if name in wanted and found.get(name) != wanted[name]
    ]
    if not differences:
        return ""
    return (
        f"node {node} has {' and '.join(differences)}, which the submitting process has; start "
        f"stepbench from an environment that all nodes share, or install the same versions there"
    )
