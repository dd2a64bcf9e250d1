"""A check's directory: the specification, and a line for each pair and fact, added when known.

`docs/regression.md` describes the files; `stepbench_reports.regression` reads them.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stepbench.errors import UsageError
from stepbench.ownership import refuse_others_directory
from stepbench.results import claim
from stepbench.results.lock import HeldLock, lock_directory, remove_lock_files
from stepbench.results.no_links import (
    open_without_links,
    refuse_links,
)
from stepbench.results.writing import store_errors
from stepbench_reports.schema.check import SCHEMA, CheckSpec, Fact, FailedPairLine, PairLine
from stepbench_reports.schema.files import (
    CHECK,
    FACTS,
    PAIRS,
    DamageError,
    encode,
    is_cut_off,
    read_record,
    write_record,
)
from stepbench_reports.schema.paths import relative_path
from stepbench_reports.schema.record import Record
from stepbench_reports.schema.text import one_line

PREFIX = "regression-"
"""The beginning of the name of a check's directory; the time follows."""


@dataclass(frozen=True)
class CheckDirectory:
    """A check's directory, locked for this process.

    Attributes:
        path: The directory.
        lock: The directory's lock.
    """

    path: Path
    lock: HeldLock

    def read_spec(self) -> CheckSpec | None:
        """Reads `check.json`; returns `None` if the check has not begun.

        Raises:
            DamageError: The file cannot be used.
        """
        try:
            return read_record(self.path / CHECK, CheckSpec, SCHEMA)
        except FileNotFoundError:
            return None

    def write_spec(self, spec: CheckSpec) -> None:
        """Writes `check.json`.

        Raises:
            StoreError: The file cannot be written.
        """
        with store_errors(self.path / CHECK):
            write_record(self.path / CHECK, spec, indented=True)

    def add_pair(self, line: PairLine | FailedPairLine) -> None:
        """Adds a pair's line.

        Raises:
            StoreError: The file cannot be written.
        """
        self._add(PAIRS, line)

    def add_fact(self, fact: Fact) -> None:
        """Adds a fact's line.

        Raises:
            StoreError: The file cannot be written.
        """
        self._add(FACTS, fact)

    def _add(self, name: str, record: Record) -> None:
        path = self.path / name
        line = encode(record)
        with store_errors(path), path.open("a+b") as handle:
            _end_last_line(handle)
            handle.write(line + b"\n")
            handle.flush()
            os.fsync(handle.fileno())

    def log(self, line: str) -> None:
        """Adds a line to the check's log."""
        path = self.path / "check.log"
        with store_errors(path), open_without_links(path, "a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {one_line(line)}\n")

    def scratch(self, *names: str) -> Path:
        """The path of temporary files, which are removed when the check ends."""
        return self.path.joinpath("scratch", *names)


def _end_last_line(handle: IO[bytes]) -> None:
    """Removes a last line that a kill cut off, or adds the newline that a complete one lacks."""
    size = handle.seek(0, os.SEEK_END)
    if not size:
        return
    handle.seek(-1, os.SEEK_END)
    if handle.read(1) == b"\n":
        return
    handle.seek(0)
    last_line = handle.read().rpartition(b"\n")[2]
    if is_cut_off(last_line):
        handle.truncate(size - len(last_line))
    else:
        handle.write(b"\n")


@contextmanager
def created(output: Path | None) -> Iterator[CheckDirectory]:
    """Makes a new check's directory; removes it again if it is empty and the check has not begun.

    Raises:
        UsageError: The directory cannot be made, or holds a check already.
    """
    path = claim.fresh_path(PREFIX) if output is None else output
    refuse_others_directory(path, f"--output {path}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        if output is None:
            claim.keep_out_of_git(path.parent)
        refuse_links(path, "--output")
        lock = lock_directory(path, "--output")
    except OSError as error:
        raise UsageError(
            f"--output {path}: cannot be written ({error.strerror}); give a writable directory"
        ) from None
    with lock:
        if (path / CHECK).exists():
            raise UsageError(
                f"--output {path}: already holds a check; resume it with --resume {path}, or "
                f"give another directory"
            )
        directory = CheckDirectory(path, lock)
        try:
            yield directory
        finally:
            shutil.rmtree(directory.scratch(), ignore_errors=True)
            if directory.read_spec() is None:
                remove_lock_files(path)
                if not any(path.iterdir()):
                    path.rmdir()


@contextmanager
def reopened(path: Path) -> Iterator[CheckDirectory]:
    """Opens the directory of a check to resume.

    Raises:
        UsageError: The directory holds no usable check, or is in use.
    """
    if not (path / CHECK).is_file():
        raise UsageError(
            f"--resume {relative_path(path)}: holds no check (it has no {CHECK}); give the "
            f"directory that the interrupted check printed"
        )
    refuse_others_directory(path, f"--resume {path}")
    with lock_directory(path, "--resume") as lock:
        directory = CheckDirectory(path.resolve(), lock)
        shutil.rmtree(directory.scratch(), ignore_errors=True)  # of a killed check; it is not read
        refuse_links(path, "--resume")
        try:
            directory.read_spec()
        except DamageError as error:
            remedy = "" if error.newer else "; start a new check"
            raise UsageError(
                f"--resume {path}: its {CHECK} cannot be used ({error.fault}){remedy}"
            ) from None
        try:
            yield directory
        finally:
            shutil.rmtree(directory.scratch(), ignore_errors=True)
