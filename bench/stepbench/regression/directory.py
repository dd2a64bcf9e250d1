"""A check's directory: its specification, and a line for each pair and fact once it is known.

`docs/regression.md` describes the files; `stepbench_reports.regression` reads them.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stepbench.errors import UsageError
from stepbench.results import claim
from stepbench.results.lock import lock_of
from stepbench.results.writing import store_errors
from stepbench_reports.regression.records import CHECK, FACTS, PAIRS, SCHEMA
from stepbench_reports.schema.files import write_json

PREFIX = "regression-"
"""The beginning of the name of a check's directory; the time follows."""


@dataclass(frozen=True)
class CheckDirectory:
    """A check's directory, locked for this process.

    Attributes:
        path: The directory.
        lock: The open lock file; closing it releases the lock.
    """

    path: Path
    lock: IO[str]

    def read_spec(self) -> dict[str, Any] | None:
        """Reads `check.json`; `None` where the check has not begun."""
        try:
            spec: dict[str, Any] = json.loads((self.path / CHECK).read_text())
        except (OSError, ValueError):
            return None
        return spec

    def write_spec(self, spec: Mapping[str, Any]) -> None:
        """Writes `check.json`.

        Raises:
            StoreError: The file cannot be written.
        """
        with store_errors(self.path / CHECK):
            write_json(self.path / CHECK, {"schema": SCHEMA, **spec}, indent=1)

    def add_pair(self, entry: Mapping[str, Any]) -> None:
        """Adds a pair's line.

        Raises:
            StoreError: The file cannot be written.
        """
        self._add(PAIRS, entry)

    def add_fact(self, kind: str, **entry: Any) -> None:  # noqa: ANN401  # by its kind
        """Adds a fact's line.

        Raises:
            StoreError: The file cannot be written.
        """
        self._add(FACTS, {"kind": kind, **entry})

    def _add(self, name: str, entry: Mapping[str, Any]) -> None:
        path = self.path / name
        line = json.dumps(entry, allow_nan=False)
        with store_errors(path), path.open("a+b") as handle:
            if handle.tell():  # a kill may have cut the last line off
                handle.seek(-1, os.SEEK_END)
                if handle.read(1) != b"\n":
                    handle.write(b"\n")
            handle.write(line.encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())

    def log(self, line: str) -> None:
        """Adds a line to the check's log."""
        path = self.path / "check.log"
        with store_errors(path), path.open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def scratch(self, *names: str) -> Path:
        """A path for files that are of use while the check runs."""
        return self.path.joinpath("scratch", *names)


@contextmanager
def created(output: Path | None) -> Iterator[CheckDirectory]:
    """Makes a new check's directory; it is removed again where the check does not begin.

    Raises:
        UsageError: The directory cannot be made, or holds a check already.
    """
    path = claim.fresh_path(PREFIX) if output is None else output
    try:
        path.mkdir(parents=True, exist_ok=True)
        if output is None:
            claim.keep_out_of_git(path.parent)
        lock = lock_of(path, "--output")
    except OSError as error:
        raise UsageError(
            f"--output {path}: cannot be written ({error.strerror}); name a directory that can"
        ) from None
    with lock:
        if (path / CHECK).exists():
            raise UsageError(
                f"--output {path}: holds a check already; resume it with --resume {path}, or "
                f"name another directory"
            )
        directory = CheckDirectory(path, lock)
        try:
            yield directory
        finally:
            shutil.rmtree(directory.scratch(), ignore_errors=True)
            if directory.read_spec() is None:
                (path / ".lock").unlink()
                if not any(path.iterdir()):
                    path.rmdir()


@contextmanager
def reopened(path: Path) -> Iterator[CheckDirectory]:
    """Opens the directory of a check that is to be resumed.

    Raises:
        UsageError: The directory holds no check, or is in use.
    """
    if not (path / CHECK).is_file():
        raise UsageError(
            f"--resume {path}: holds no check (it has no {CHECK}); name the directory that the "
            f"interrupted check printed"
        )
    with lock_of(path, "--resume") as lock:
        directory = CheckDirectory(path.resolve(), lock)
        spec = directory.read_spec()
        if spec is None or spec.get("schema") != SCHEMA:
            raise UsageError(f"--resume {path}: its {CHECK} is damaged; begin a new check")
        try:
            yield directory
        finally:
            shutil.rmtree(directory.scratch(), ignore_errors=True)
