"""The run directory: a file for each case and kind of result, written whole or not at all.

`docs/run-directory.md` describes the files.
"""

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.results.lock import HeldLock, remove_lock_files
from stepbench.results.no_links import open_without_links
from stepbench.results.writing import store_errors
from stepbench_reports.schema import files, measurement, parity
from stepbench_reports.schema.files import DamageError
from stepbench_reports.schema.record import Record
from stepbench_reports.schema.results import (
    CaseRecord,
    MeasurementRecord,
    ParityRecord,
    ProfileRecord,
    TrainingParityRecord,
)
from stepbench_reports.schema.run import RunFacts
from stepbench_reports.schema.text import one_line

TENSORBOARD, TRACES = "tb", "traces"
"""The folder in a run directory that TensorBoard reads."""
FOLDERS: Mapping[type[CaseRecord], str] = {
    MeasurementRecord: files.CASES,
    ParityRecord: files.PARITY,
    TrainingParityRecord: files.TRAIN_PARITY,
    ProfileRecord: files.PROFILES,
}
"""The folder in a run directory for each kind of record; a folder has a file for each case."""
Kind = TypeVar("Kind", bound=CaseRecord)


@dataclass(frozen=True)
class RunDirectory:
    """A run's directory, locked for this process.

    Attributes:
        path: The directory.
        lock: The directory's lock.
    """

    path: Path
    lock: HeldLock

    @property
    def id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def run_file(self) -> Path:
        """The file of the run's facts."""
        return self.path / files.RUN

    @property
    def benchmark_json(self) -> Path:
        """The file that pytest-benchmark writes."""
        return self.path / "benchmark.json"

    @property
    def compile_cache(self) -> Path:
        """The directory of the compile cache, removed when the run ends."""
        return self.path / "compile-cache"

    @property
    def references(self) -> Path:
        """The directory of the results that parity compares with; the run removes it at its end."""
        return self.path / "references"

    @property
    def traces(self) -> Path:
        """The directory of the profiler's traces, unchanged."""
        return self.path / TRACES

    @property
    def tensorboard(self) -> Path:
        """The directory that TensorBoard shows, with a folder for each case."""
        return self.path / TENSORBOARD

    @property
    def snapshots(self) -> Path:
        """The directory of memory snapshots."""
        return self.path / "snapshots"

    @property
    def scratch(self) -> Path:
        """The directory of temporary files, removed when the run ends."""
        return self.path / "scratch"

    def file(self, kind: type[CaseRecord], case: Case) -> Path:
        """Returns the path of a case's record; the file may not exist."""
        return self.path / FOLDERS[kind] / f"{case.id}.json"

    def write(self, record: CaseRecord) -> None:
        """Writes a case's record.

        Raises:
            StoreError: The file cannot be written.
        """
        _write(self.path / FOLDERS[type(record)] / f"{record.id}.json", record)

    def read(self, kind: type[Kind], case: Case) -> Kind | None:
        """Reads a case's record; `None` if the file is missing, damaged or of a different case."""
        file = self.file(kind, case)
        try:
            record: CaseRecord = (
                files.read_measurement(file, measurement.SCHEMA)
                if issubclass(kind, MeasurementRecord)
                else files.read_record(file, kind, parity.SCHEMA)
            )
        except (FileNotFoundError, DamageError):
            return None
        if not isinstance(record, kind) or Case(**record.case.values()) != case:
            return None
        return replace(record, case=case)

    def write_run(self, facts: RunFacts) -> None:
        """Writes `run.json`.

        Raises:
            StoreError: The file cannot be written.
            UsageError: A value is out of the range that the file format allows.
        """
        try:
            _write(self.run_file, facts)
        except DamageError as damage:
            raise UsageError(f"a value of the run is out of range: {damage.fault}") from None

    def read_run(self) -> RunFacts:
        """Reads `run.json`.

        Raises:
            FileNotFoundError: There is no `run.json`.
            DamageError: The file cannot be used.
        """
        return files.read_record(self.run_file, RunFacts, measurement.SCHEMA)

    def log(self, line: str) -> None:
        """Appends a line with a timestamp to `run.log`.

        Raises:
            StoreError: The file cannot be written.
        """
        path = self.path / "run.log"
        with store_errors(path), open_without_links(path, "a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {one_line(line)}\n")

    def remove_temporary(self) -> None:
        """Removes the directories that are needed only during the run."""
        for directory in (self.compile_cache, self.references, self.scratch):
            shutil.rmtree(directory, ignore_errors=True)

    def discard(self) -> None:
        """Releases the lock and removes the directory of a run without results, if it is empty."""
        self.close()
        remove_lock_files(self.path)
        for directory in (self.path / files.CASES, self.path):
            with contextlib.suppress(OSError):  # not empty: it holds other files
                directory.rmdir()

    def close(self) -> None:
        """Releases the lock."""
        self.lock.close()


def _write(path: Path, record: Record) -> None:
    with store_errors(path):
        if path.is_dir():  # in the file's place; raises OSError if the directory is not empty
            path.rmdir()
        files.write_record(path, record)
