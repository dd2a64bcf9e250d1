"""Starts a fresh interpreter for each child, if forking is not safe (macOS, Windows)."""

import contextlib
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from stepbench.process.child import child_main
from stepbench.process.job import Job
from stepbench.process.server import NO_VARIABLES, Server
from stepbench.process.supervision import Child, ChildExit, Exit

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class _SpawnedExit(ChildExit):
    """The end of a child that multiprocessing spawned."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        self.pid = process.pid or 0

    def fileno(self) -> int:
        return self._process.sentinel

    def wait(self) -> Exit:
        self._process.join()
        return Exit(self._process.exitcode or 0)


class SpawnServer(Server):
    """Starts a fresh interpreter for each child, if forking is not safe.

    Args:
        search_path: The children's `sys.path`.
        directory: The children's working directory.
        environment: Environment variables of the children.
    """

    def __init__(
        self,
        search_path: list[str],
        directory: Path,
        environment: Mapping[str, str] = NO_VARIABLES,
    ) -> None:
        self._environment = environment
        self._search_path = search_path
        self._directory = directory

    def wait_until_ready(self) -> None:
        """Returns at once: each child imports what it needs."""

    def start(self, job: Job) -> Child:
        """Spawns a child for a job; see `Server.start`."""
        requested_s = time.perf_counter()
        parent_end, child_end = multiprocessing.Pipe()
        log = cast("BinaryIO", tempfile.NamedTemporaryFile())  # noqa: SIM115  # the child's handle owns it
        process = multiprocessing.get_context("spawn").Process(
            target=_spawned_main,
            args=(child_end, log.name, self._search_path, str(self._directory)),
        )
        with _variables(self._environment):
            process.start()
        child_end.close()
        return Child(
            job,
            parent_end,
            _SpawnedExit(process),
            log=log,
            requested_s=requested_s,
            on_left_behind=lambda *_: None,  # a spawned child's orphans are not found
        )

    def restart(self) -> None:
        """Does nothing: each child is started anew."""

    def close(self) -> None:
        """Does nothing: each child belongs to its handle, which ends it."""


@contextlib.contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables of this process, which a child inherits, while it lasts.

    The child cannot set them itself: it first imports the main module, and torch perhaps with it.
    """
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _spawned_main(
    connection: "Connection[Any, Any]", log: str, search_path: list[str], directory: str
) -> None:
    sys.path[:] = search_path
    os.chdir(directory)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    child_main(connection)
