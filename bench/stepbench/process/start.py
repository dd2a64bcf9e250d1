"""Chooses a server: forking if that is safe, else spawning."""

import platform
from collections.abc import Mapping
from pathlib import Path

from stepbench.process.fork_server import ForkServer
from stepbench.process.server import NO_VARIABLES, Server
from stepbench.process.spawn_server import SpawnServer


def start_server(
    preload: tuple[str, ...],
    search_path: list[str],
    directory: Path,
    extras: tuple[str, ...] = (),
    environment: Mapping[str, str] = NO_VARIABLES,
) -> Server:
    """Starts the server that suits this machine.

    Args:
        preload: Modules that children need; a fork server imports them once.
        search_path: The children's `sys.path`.
        directory: The children's working directory.
        extras: Modules that children will import; the server may import them in advance.
        environment: Environment variables of the children, which libraries read when they are
            imported.
    """
    if platform.system() == "Linux":
        return ForkServer(preload, search_path, directory, extras=extras, environment=environment)
    return SpawnServer(search_path, directory, environment)
