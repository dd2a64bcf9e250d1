"""Opens and locks a run directory: a new one, or the directory of an earlier run."""

import contextlib
import secrets
import time
from pathlib import Path

from stepbench.errors import UsageError
from stepbench.ownership import refuse_others_directory
from stepbench.results.lock import lock_directory
from stepbench.results.no_links import refuse_links
from stepbench.results.run_directory import RunDirectory
from stepbench_reports.schema.files import CASES, RUN, DamageError, atomic_write
from stepbench_reports.schema.paths import nearby

RESULTS = Path("results")
"""The directory of all runs, in the current directory."""
LATEST = "latest"
"""The name of the link in `results/` to the last run."""


def create(output: Path | None) -> RunDirectory:
    """Creates and locks the directory of a new run.

    Args:
        output: The directory; `None` creates a directory in `results/`.

    Raises:
        UsageError: The directory cannot be created, already holds a run, or is in use.
    """
    path = fresh_path() if output is None else output
    refuse_others_directory(path, f"--output {path}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        refuse_links(path, "--output")
        lock = lock_directory(path, "--output")
        (path / CASES).mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output {path}: cannot be written ({error.strerror}); give a writable directory"
        ) from None
    if (path / RUN).exists():
        lock.close()
        raise UsageError(
            f"--output {path}: already holds a run; resume it with --resume {path}, "
            f"or give another directory"
        )
    return RunDirectory(path, lock)


def point_latest_at(path: Path) -> None:
    """Makes the link `results/latest` point to a run in `results/`, and git ignore `results/`."""
    results = path.parent
    keep_out_of_git(results)
    # If the system cannot make links (Windows without the permission), there is no `latest`.
    with contextlib.suppress(OSError, NotImplementedError), atomic_write(results / LATEST) as link:
        link.symlink_to(path.name, target_is_directory=True)


def keep_out_of_git(results: Path) -> None:
    """Makes git ignore all files in `results/`, unless it has a `.gitignore` already."""
    gitignore = results / ".gitignore"
    if not gitignore.exists():
        with atomic_write(gitignore) as temporary:
            temporary.write_text("# Created by stepbench: git ignores the results.\n*\n")


def reopen(path: Path) -> RunDirectory:
    """Opens and locks the directory of a run, to resume the run.

    Raises:
        UsageError: The directory holds no run, or an unreadable `run.json`; or the directory
            cannot be written or is in use.
    """
    if not (path / RUN).is_file():
        raise UsageError(f"--resume {path}: holds no run (it has no {RUN}); {nearby(path)}")
    refuse_others_directory(path, f"--resume {path}")
    try:
        directory = RunDirectory(path.resolve(), lock_directory(path, "--resume"))
    except OSError as error:
        raise UsageError(
            f"--resume {path}: cannot be written ({error.strerror}); give a writable directory"
        ) from None
    try:
        directory.remove_temporary()  # of a killed run; whatever lies there is not read
        refuse_links(directory.path, "--resume")
        directory.read_run()
    except UsageError:
        directory.close()
        raise
    except DamageError as damage:
        directory.close()
        remedy = "" if damage.newer else "; start a new run"
        raise UsageError(
            f"--resume {path}: its {RUN} cannot be used ({damage.fault}){remedy}"
        ) from None
    return directory


def fresh_path(prefix: str = "") -> Path:
    """Returns a new, unique path in `results/`."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    return Path.cwd() / RESULTS / f"{prefix}{stamp}-{secrets.token_hex(2)}"
