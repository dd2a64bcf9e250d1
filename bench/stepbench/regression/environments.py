"""A side in another Python environment: the side's server.

Both sides run this environment's stepbench; all other packages are those of each environment.
"""

import contextlib
import platform
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stepbench.errors import UsageError
from stepbench.process.extras import Extras
from stepbench.process.fork_server import ForkServer
from stepbench.process.server import NO_VARIABLES, Server
from stepbench.regression.tree import STEPBENCH_PACKAGES
from stepbench.regression.worktree import temporary_directory

_PROBE = """\
import json, sys
search_path = list(sys.path)
sys.path.insert(0, sys.argv[1])
import torch
import stepbench.regression.worker.operators, stepbench.regression.worker.side
import stepbench.parity.judgement
versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
print(json.dumps({"search_path": search_path, **versions}))
"""


@dataclass(frozen=True)
class EnvironmentFacts:
    """Facts about another environment.

    Attributes:
        search_path: The import path of the environment's Python.
        torch: The version of torch.
        python: The version of Python.
    """

    search_path: tuple[str, ...]
    torch: str
    python: str


@contextlib.contextmanager
def opened(python: Path) -> Iterator["Environment"]:
    """Opens another environment, with this environment's stepbench, while the context lasts.

    Raises:
        UsageError: stepbench cannot run in the environment, for lack of a package for example.
    """
    with temporary_directory("environment") as directory:
        for package in STEPBENCH_PACKAGES:
            (directory / package.name).symlink_to(package, target_is_directory=True)
        yield Environment(python, directory, _probe(python, directory))


def _probe(python: Path, directory: Path) -> EnvironmentFacts:
    """Imports stepbench and torch in the environment; returns its facts."""
    command = [str(python), "-P", "-c", _PROBE, str(directory)]
    try:
        completed = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"--base-python {python}: cannot be run ({error.strerror})") from None
    if completed.returncode:
        lines = completed.stderr.strip().splitlines() or [f"exit code {completed.returncode}"]
        raise UsageError(
            f"--base-python {python}: cannot run stepbench ({lines[-1]}); install stepbench's "
            f"dependencies there (uv pip install --python {python} stepbench), and use head's "
            f"release of Python, {platform.python_version()}, or a similar one"
        )
    return msgspec.json.decode(completed.stdout.splitlines()[-1], type=EnvironmentFacts)


class Environment:
    """Another Python environment.

    Args:
        python: The interpreter.
        directory: The directory with stepbench's packages, and no others.
        facts: The environment's import path, and the versions of Python and torch.
    """

    def __init__(self, python: Path, directory: Path, facts: EnvironmentFacts) -> None:
        self._python = python
        self.facts = {"torch": facts.torch, "python": facts.python}
        self._search_path = [str(directory), *(entry for entry in facts.search_path if entry)]

    def server(
        self,
        preload: tuple[str, ...],
        extras: Extras | None = None,
        environment: Mapping[str, str] = NO_VARIABLES,
    ) -> Server:
        """Starts a server in the environment, with further environment variables."""
        return ForkServer(
            preload,
            self._search_path,
            Path.cwd(),
            python=str(self._python),
            extras=extras,
            environment=environment,
        )
