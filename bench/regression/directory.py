"""A check's directory: its question, and what is found, a line each as soon as it is known.

`docs/regression.md` describes the files; `reports.regression` reads them.
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

from bench import store
from bench.errors import UsageError
from bench.store import guarded
from bench.whole import write_json
from reports.regression.records import CHECK, FACTS, PAIRS, SCHEMA

PREFIX = "regression-"
"""What a check's directory is called, before its time."""


@dataclass(frozen=True)
class CheckDirectory:
    """A check's place on disk, locked for this process.

    Attributes:
        path: The directory.
        lock: Keeps the lock for as long as it is open.
    """

    path: Path
    lock: IO[str]

    def question(self) -> dict[str, Any] | None:
        """What the check is asked; `None` where it has not begun."""
        try:
            found: dict[str, Any] = json.loads((self.path / CHECK).read_text())
        except (OSError, ValueError):
            return None
        return found

    def ask(self, question: Mapping[str, Any]) -> None:
        """Writes what the check is asked.

        Raises:
            StoreError: It cannot be written.
        """
        with guarded(self.path / CHECK):
            write_json(self.path / CHECK, {"schema": SCHEMA, **question}, indent=1)

    def add_pair(self, entry: Mapping[str, Any]) -> None:
        """Adds what a pair gave; likewise."""
        self._add(PAIRS, entry)

    def add_fact(self, kind: str, **entry: Any) -> None:  # noqa: ANN401  # by its kind
        """Adds a fact; likewise."""
        self._add(FACTS, {"kind": kind, **entry})

    def _add(self, name: str, entry: Mapping[str, Any]) -> None:
        path = self.path / name
        line = json.dumps(entry, allow_nan=False)
        with guarded(path), path.open("a+b") as handle:
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
        with guarded(path), path.open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def scratch(self, *names: str) -> Path:
        """A place for what is of use while the check goes on."""
        return self.path.joinpath("scratch", *names)


@contextmanager
def created(output: Path | None) -> Iterator[CheckDirectory]:
    """A new check's directory; removed again where the check came to nothing.

    Raises:
        UsageError: It cannot be made, or holds a check already.
    """
    path = store.fresh_path(PREFIX) if output is None else output
    try:
        path.mkdir(parents=True, exist_ok=True)
        if output is None:
            store.keep_out_of_git(path.parent)
        lock = store.lock_of(path, "--output")
    except OSError as error:
        raise UsageError(
            f"--output {path}: cannot be written ({error.strerror}); name a directory that can"
        ) from None
    with lock:
        if (path / CHECK).exists():
            raise UsageError(
                f"--output {path}: holds a check already; go on with it by --resume {path}, or "
                f"name another directory"
            )
        directory = CheckDirectory(path, lock)
        try:
            yield directory
        finally:
            shutil.rmtree(directory.scratch(), ignore_errors=True)
            if directory.question() is None:
                (path / ".lock").unlink()
                if not any(path.iterdir()):
                    path.rmdir()


@contextmanager
def reopened(path: Path) -> Iterator[CheckDirectory]:
    """The directory of a check that is to be gone on with.

    Raises:
        UsageError: There is none in it, or another process is writing there.
    """
    if not (path / CHECK).is_file():
        raise UsageError(
            f"--resume {path}: holds no check (it has no {CHECK}); name the directory that the "
            f"check which was cut off told of"
        )
    with store.lock_of(path, "--resume") as lock:
        directory = CheckDirectory(path.resolve(), lock)
        question = directory.question()
        if question is None or question.get("schema") != SCHEMA:
            raise UsageError(f"--resume {path}: its {CHECK} is damaged; begin a new check")
        try:
            yield directory
        finally:
            shutil.rmtree(directory.scratch(), ignore_errors=True)
