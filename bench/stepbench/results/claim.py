"""Claims a run's directory: a new one, or that of an earlier run."""

import contextlib
import secrets
import time
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.results.lock import lock_of
from stepbench.results.run_directory import RunDirectory
from stepbench_reports.schema.files import atomic_write
from stepbench_reports.schema.measurement import SCHEMA

RESULTS = Path("results")
"""The directory of all runs, beneath the current directory."""
LATEST = "latest"
"""The link beneath `results/` to the last run."""


def create(output: Path | None) -> RunDirectory:
    """Makes a new run's directory.

    Args:
        output: The directory; `None` makes one beneath `results/`.

    Raises:
        UsageError: The directory cannot be made, holds a run already, or is in use.
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
            f"--output {path}: holds a run already; resume it with --resume {path}, "
            f"or name another directory"
        )
    return RunDirectory(path, lock)


def point_latest_at(path: Path) -> None:
    """Points `results/latest` at a run beneath `results/`."""
    results = path.parent
    keep_out_of_git(results)
    # Where the system has no links (Windows without the right to make them), there is no `latest`.
    with contextlib.suppress(OSError, NotImplementedError), atomic_write(results / LATEST) as link:
        link.symlink_to(path.name, target_is_directory=True)


def keep_out_of_git(results: Path) -> None:
    """Makes git ignore all files beneath `results/`."""
    ignore = results / ".gitignore"
    if not ignore.exists():
        ignore.write_text("# made by stepbench: results are not for the repository\n*\n")


def reopen(path: Path) -> RunDirectory:
    """Opens the directory of a run that is to be resumed.

    Raises:
        UsageError: The directory holds no run, cannot be written, or is in use.
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
        fault = "is damaged" if facts is None else f"has schema {facts.get('schema')}, not {SCHEMA}"
        raise UsageError(f"--resume {path}: its run.json {fault}; begin a new run")
    return directory


def fresh_path(prefix: str = "") -> Path:
    """A path beneath `results/` that no other run has."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return Path.cwd() / RESULTS / f"{prefix}{stamp}-{secrets.token_hex(2)}"
