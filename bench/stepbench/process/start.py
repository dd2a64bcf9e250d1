"""Chooses a server: forking if that is safe, else spawning."""

import platform
from collections.abc import Mapping
from pathlib import Path

from stepbench.process.extras import Extras
from stepbench.process.fork_server import ForkServer
from stepbench.process.server import NO_VARIABLES, Server
from stepbench.process.spawn_server import SpawnServer
from stepbench.process.supervision import OnLeftBehind


def start_server(
    preload: tuple[str, ...],
    search_path: list[str],
    directory: Path,
    extras: Extras | None = None,
    environment: Mapping[str, str] = NO_VARIABLES,
    *,
    on_left_behind: OnLeftBehind = lambda *_: None,
) -> Server:
    """Starts the server that suits this machine.

    Args:
        preload: Modules that children need; a fork server imports them once.
        search_path: The children's `sys.path`.
        directory: The children's working directory.
        extras: Packages that children will import; a fork server imports them in advance.
        environment: Environment variables of the children, which libraries read when they are
            imported.
        on_left_behind: Called with the processes that outlived a child and were killed; only a fork
            server finds them.
    """
    if platform.system() == "Linux":
        return ForkServer(
            preload,
            search_path,
            directory,
            extras=extras,
            environment=environment,
            on_left_behind=on_left_behind,
        )
    return SpawnServer(search_path, directory, environment)
