"""Claims a run's directory: a new one, or that of an earlier run."""

import contextlib
import secrets
import time
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.results.lock import lock_of
from stepbench.results.run_directory import RunDirectory
from stepbench_reports.schema.files import CASES, RUN, DamageError, atomic_write

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
        (path / CASES).mkdir(parents=True, exist_ok=True)
        lock = lock_of(path, "--output")
    except OSError as error:
        raise UsageError(
            f"--output {path}: cannot be written ({error.strerror}); name a directory that can"
        ) from None
    if (path / RUN).exists():
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
    if not (path / RUN).is_file():
        raise UsageError(
            f"--resume {path}: holds no run (it has no run.json); name a run's directory, "
            f"such as {RESULTS / LATEST}"
        )
    try:
        (path / CASES).mkdir(exist_ok=True)
        directory = RunDirectory(path.resolve(), lock_of(path, "--resume"))
    except OSError as error:
        raise UsageError(
            f"--resume {path}: cannot be written ({error.strerror}); name a directory that can"
        ) from None
    try:
        directory.read_run()
    except DamageError as damage:
        directory.close()
        remedy = "" if damage.newer else "; begin a new run"
        raise UsageError(
            f"--resume {path}: its {RUN} cannot be used ({damage.fault}){remedy}"
        ) from None
    return directory


def fresh_path(prefix: str = "") -> Path:
    """A path beneath `results/` that no other run has."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return Path.cwd() / RESULTS / f"{prefix}{stamp}-{secrets.token_hex(2)}"
