"""The run directory: one file per case, written whole or not at all.

`docs/run-directory.md` describes what it holds. A lock keeps a second run out of it; a run that was
cut off is gone on with where it stopped.
"""

import contextlib
import errno
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from bench.case import Case
from bench.case_result import CaseResult
from bench.errors import UsageError
from bench.judgement import Judged, TrainJudged
from bench.measurement import SCHEMA, Measurement
from bench.profiling.profile import Profiled
from bench.whole import write_json

RESULTS = Path("results")
"""Where runs go, beneath the current directory."""
LATEST = "latest"
BOARD = "tb"
"""The folder of a run that TensorBoard reads."""
ROOMS: Mapping[type[CaseResult], str] = {
    Judged: "parity",
    TrainJudged: "train-parity",
    Profiled: "profiles",
}
"""Which folder holds what the passes over a case came to."""
Result = TypeVar("Result", bound=CaseResult)


class StoreError(Exception):
    """A result could not be written; the message says which and why."""


@dataclass(frozen=True)
class RunDirectory:
    """A run's place on disk, locked for this process.

    Attributes:
        path: The directory.
        lock: Keeps the lock for as long as it is open.
    """

    path: Path
    lock: IO[str]

    @property
    def id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def ledger(self) -> Path:
        """What pytest-benchmark writes."""
        return self.path / "benchmark.json"

    @property
    def compile_cache(self) -> Path:
        """Where compilers keep their results while the run goes on."""
        return self.path / "compile-cache"

    @property
    def references(self) -> Path:
        """What cases are compared with, while the run goes on."""
        return self.path / "references"

    @property
    def traces(self) -> Path:
        """Traces as profilers wrote them."""
        return self.path / "traces"

    @property
    def board(self) -> Path:
        """What TensorBoard shows, a directory a case."""
        return self.path / BOARD

    @property
    def snapshots(self) -> Path:
        """Snapshots of a device's memory."""
        return self.path / "snapshots"

    @property
    def scratch(self) -> Path:
        """What is not complete yet, while the run goes on."""
        return self.path / "scratch"

    def case_file(self, case: Case) -> Path:
        """Where a case's measurement lies, or will."""
        return self.path / "cases" / f"{case.id}.json"

    def write_run(self, facts: Mapping[str, Any]) -> None:
        """Writes `run.json`.

        Raises:
            StoreError: It cannot be written.
        """
        _write(self.path / "run.json", {"schema": SCHEMA, "id": self.id, **facts})

    def read_run(self) -> dict[str, Any] | None:
        """`run.json`, or `None` where it is missing or damaged."""
        return _read(self.path / "run.json")

    def write(self, measurement: Measurement) -> None:
        """Writes a case's file.

        Raises:
            StoreError: It cannot be written.
        """
        _write(self.case_file(measurement.case), measurement.to_json())

    def read(self, case: Case) -> Measurement | None:
        """A case's measurement, or `None` where it is missing, damaged or another case's."""
        measurement = _parsed(self.case_file(case), Measurement.from_json)
        return measurement if measurement is not None and measurement.case == case else None

    def result_file(self, kind: type[CaseResult], case: Case) -> Path:
        """Where what a pass over a case came to lies, or will."""
        return self.path / ROOMS[kind] / f"{case.id}.json"

    def write_result(self, result: CaseResult) -> None:
        """Writes what a pass over a case came to.

        Raises:
            StoreError: It cannot be written.
        """
        _write(self.result_file(type(result), result.case), result.to_json())

    def read_result(self, kind: type[Result], case: Case) -> Result | None:
        """What a pass over a case came to, or `None` where it is missing, damaged or another's."""
        result = _parsed(self.result_file(kind, case), kind.from_json)
        return result if result is not None and result.case == case else None

    def log(self, line: str) -> None:
        """Adds a line to the run's log."""
        with guarded(self.path / "run.log"), (self.path / "run.log").open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def discard(self) -> None:
        """Removes the directory of a run that came to nothing, unless there is more in it."""
        self.close()
        (self.path / ".lock").unlink()
        for place in (self.path / "cases", self.path):
            with contextlib.suppress(OSError):  # not empty: somebody else's
                place.rmdir()

    def close(self) -> None:
        """Lets go of the lock."""
        self.lock.close()


def create(output: Path | None) -> RunDirectory:
    """A new run's directory.

    Args:
        output: Where; `None` makes one beneath `results/`.

    Raises:
        UsageError: It cannot be made, holds a run already, or another run is using it.
    """
    path = fresh_path() if output is None else output
    try:
        (path / "cases").mkdir(parents=True, exist_ok=True)
        lock = lock_of(path, "--output")
    except OSError as error:
        raise UsageError(
            f"--output {path}: cannot be written ({error.strerror}); name a directory that can"
        ) from None
    if (path / "run.json").exists():
        lock.close()
        raise UsageError(
            f"--output {path}: holds a run already; go on with it by --resume {path}, "
            f"or name another directory"
        )
    return RunDirectory(path, lock)


def point_latest_at(path: Path) -> None:
    """Points `results/latest` at a run beneath `results/`."""
    results = path.parent
    keep_out_of_git(results)
    new = results / f".latest-{path.name}"
    # Where the system has no links (Windows without the right to make them), there is no `latest`.
    with contextlib.suppress(OSError, NotImplementedError):
        new.symlink_to(path.name, target_is_directory=True)
        new.replace(results / LATEST)


def keep_out_of_git(results: Path) -> None:
    """Has git ignore what lies beneath `results/`."""
    ignore = results / ".gitignore"
    if not ignore.exists():
        ignore.write_text("# made by stepbench: results are not for the repository\n*\n")


def reopen(path: Path) -> RunDirectory:
    """The directory of a run that is to be gone on with.

    Raises:
        UsageError: There is no run in it, it cannot be written, or another run is using it.
    """
    if not (path / "run.json").is_file():
        raise UsageError(
            f"--resume {path}: holds no run (it has no run.json); name a run's directory, "
            f"such as {RESULTS / LATEST}"
        )
    try:
        (path / "cases").mkdir(exist_ok=True)
        directory = RunDirectory(path.resolve(), lock_of(path, "--resume"))
    except OSError as error:
        raise UsageError(
            f"--resume {path}: cannot be written ({error.strerror}); name a directory that can"
        ) from None
    facts = directory.read_run()
    if facts is None or facts.get("schema") != SCHEMA:
        directory.close()
        what = "is damaged" if facts is None else f"has schema {facts.get('schema')}, not {SCHEMA}"
        raise UsageError(f"--resume {path}: its run.json {what}; begin a new run")
    return directory


def fresh_path(prefix: str = "") -> Path:
    """A place beneath `results/` that no other has."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return Path.cwd() / RESULTS / f"{prefix}{stamp}-{secrets.token_hex(2)}"


def lock_of(path: Path, option: str) -> IO[str]:
    """A directory's lock, held for as long as what is returned is open.

    Args:
        path: The directory.
        option: The option that named it.

    Raises:
        UsageError: Another process holds it.
        OSError: It cannot be written.
    """
    handle = (path / ".lock").open("a+")
    try:
        _lock_handle(handle)
    except OSError as error:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        if error.errno not in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}:
            raise
        raise UsageError(
            f"{option} {path}: another run (process {owner}) is writing there; "
            f"wait for it, or name another directory"
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _lock_handle(handle: IO[str]) -> None:
    """Takes the lock, which the system lets go of however this process ends."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415

        handle.seek(0)
        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl  # noqa: PLC0415

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turns a failure to write into a `StoreError` that says what is to be done."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}); what was measured before is kept: "
            f"make room, then go on with --resume"
        ) from error


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a file whole or not at all: beside its place, then moved there."""
    with guarded(path):
        write_json(path, content)


Parsed = TypeVar("Parsed")


def _parsed(path: Path, parse: Callable[[Mapping[str, Any]], Parsed]) -> Parsed | None:
    """What a file holds, or `None` where it is missing or damaged."""
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
