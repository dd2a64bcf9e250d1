"""The run directory: a file for each case and result, written whole or not at all.

`docs/run-directory.md` describes the files.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from stepbench.config.case import Case
from stepbench.results.case_measurement import CaseMeasurement
from stepbench.results.case_result import (
    CaseResult,
    ParityResult,
    ProfileResult,
    TrainingParityResult,
)
from stepbench.results.writing import store_errors
from stepbench_reports.schema.files import write_json
from stepbench_reports.schema.measurement import SCHEMA

BOARD = "tb"
"""The folder of a run that TensorBoard reads."""
FOLDERS: Mapping[type[CaseResult], str] = {
    CaseMeasurement: "cases",
    ParityResult: "parity",
    TrainingParityResult: "train-parity",
    ProfileResult: "profiles",
}
"""The folder of a run that holds each kind of result, a file a case."""
Result = TypeVar("Result", bound=CaseResult)


@dataclass(frozen=True)
class RunDirectory:
    """A run's directory, locked for this process.

    Attributes:
        path: The directory.
        lock: The open lock file; closing it releases the lock.
    """

    path: Path
    lock: IO[str]

    @property
    def id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def benchmark_json(self) -> Path:
        """The file that pytest-benchmark writes."""
        return self.path / "benchmark.json"

    @property
    def compile_cache(self) -> Path:
        """The directory of compilers' results, removed when the run ends."""
        return self.path / "compile-cache"

    @property
    def references(self) -> Path:
        """The directory of parity's references, removed when the run ends."""
        return self.path / "references"

    @property
    def traces(self) -> Path:
        """The directory of traces as profilers wrote them."""
        return self.path / "traces"

    @property
    def board(self) -> Path:
        """The directory that TensorBoard shows, with a folder for each case."""
        return self.path / BOARD

    @property
    def snapshots(self) -> Path:
        """The directory of memory snapshots."""
        return self.path / "snapshots"

    @property
    def scratch(self) -> Path:
        """The directory of unfinished files, removed when the run ends."""
        return self.path / "scratch"

    def file(self, kind: type[CaseResult], case: Case) -> Path:
        """The file of a case's result, written or not."""
        return self.path / FOLDERS[kind] / f"{case.id}.json"

    def write(self, result: CaseResult) -> None:
        """Writes a case's result.

        Raises:
            StoreError: The file cannot be written.
        """
        _write(self.file(type(result), result.case), result.to_json())

    def read(self, kind: type[Result], case: Case) -> Result | None:
        """Reads a case's result; `None` where it is missing, damaged or another case's."""
        result = _parsed(self.file(kind, case), kind.from_json)
        return result if result is not None and result.case == case else None

    def write_run(self, facts: Mapping[str, Any]) -> None:
        """Writes `run.json`.

        Raises:
            StoreError: The file cannot be written.
        """
        _write(self.path / "run.json", {"schema": SCHEMA, "id": self.id, **facts})

    def read_run(self) -> dict[str, Any] | None:
        """Reads `run.json`; `None` where it is missing or damaged."""
        return _read(self.path / "run.json")

    def log(self, line: str) -> None:
        """Adds a line to the run's log."""
        path = self.path / "run.log"
        with store_errors(path), path.open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def remove_temporary(self) -> None:
        """Removes the directories that are of use while the run lasts."""
        for directory in (self.compile_cache, self.references, self.scratch):
            shutil.rmtree(directory, ignore_errors=True)

    def discard(self) -> None:
        """Removes the directory of a run in which nothing was measured, unless it holds more."""
        self.close()
        (self.path / ".lock").unlink()
        for directory in (self.path / "cases", self.path):
            with contextlib.suppress(OSError):  # not empty: somebody else's
                directory.rmdir()

    def close(self) -> None:
        """Releases the lock."""
        self.lock.close()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    with store_errors(path):
        write_json(path, content)


Parsed = TypeVar("Parsed")


def _parsed(path: Path, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed | None:
    """Reads and parses a file; `None` where it is missing or damaged."""
    content = _read(path)
    if content is None:
        return None
    try:
        return parse(content)
    except (KeyError, TypeError, ValueError):
        return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
