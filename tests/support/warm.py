"""Commands run in forks of interpreters that have imported already what they need.

A run of stepbench takes two interpreters: the command's, which imports pandas, and its server's,
which imports torch. Both imports take longer than all that a test looks at. So the tests have each
interpreter once, and a command is run in forks of the two. Tests of how processes begin and end
start real ones.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from support.warm_interpreter import MESSAGE_BYTES

TESTS = Path(__file__).resolve().parents[1]
COMMAND_MODULES = (
    "stepbench.cli",
    "stepbench.benchmarks.session",
    "stepbench.regression.command",
    "stepbench.regression.check",
    "stepbench.runner.run",
    "stepbench_reports",
    "stepbench_reports.commands",
    "stepbench_reports.render.writing",
    "pytest",
    "matplotlib.pyplot",
    "scipy.stats",
)
"""What the interpreter of commands imports."""
_SERVE = (
    "import json, sys; tests, number, modules = sys.argv[1:]; sys.path.insert(0, tests); "
    "from support.warm_interpreter import serve; "
    "serve(int(number), json.loads(modules))"
)


def server_modules() -> tuple[str, ...]:
    """What the interpreter of servers imports."""
    from stepbench.regression import facts, servers
    from stepbench.runner.preload import PRELOAD, PRELOAD_COMPILE, PRELOAD_PROFILE

    return (
        "support.quiet",
        *PRELOAD,
        *PRELOAD_COMPILE,
        *PRELOAD_PROFILE,
        *facts.PRELOAD,
        *servers.TOGETHER,
        *servers.APART,
        "torchvision.models",
    )


@dataclass(frozen=True)
class WarmInterpreter:
    """An interpreter that has imported modules, and is forked for each command.

    Attributes:
        address: Where it listens.
    """

    address: str


@contextlib.contextmanager
def interpreter(modules: Sequence[str]) -> Iterator[WarmInterpreter]:
    """An interpreter that imports modules, for as long as the context lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="stepbench-") as place,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        address = f"{place}/listener"
        listener.bind(address)
        listener.listen(64)
        number = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE, str(TESTS), str(number), json.dumps(modules)],
            pass_fds=(number,),
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TORCH_WARM_POOL": "0"},
        )
        listener.close()  # so that a connection fails once the interpreter has ended
        try:
            yield WarmInterpreter(address)
        finally:
            process.kill()
            process.wait()


class WarmProcess:
    """A forked process: as much of `subprocess.Popen` as is needed of one.

    Args:
        address: The interpreter that it is forked from.
        command: The command line: an interpreter with `-c` or `-m`.
        cwd: Its directory.
        env: Its environment.
        descriptors: Its descriptors by the number that they have there.
        servers: The interpreter that its own servers are forked from; `None` starts real ones.
    """

    def __init__(
        self,
        address: str,
        command: Sequence[str],
        cwd: str | Path,
        env: Mapping[str, str],
        descriptors: Mapping[int, int],
        servers: str | None = None,
    ) -> None:
        request = {
            "command": list(command), "cwd": str(cwd), "env": dict(env),
            "numbers": list(descriptors), "path": [p for p in sys.path if p and p != str(TESTS)],
            "servers": servers,
        }  # fmt: skip
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(address)
        message = json.dumps(request).encode()
        socket.send_fds(self._connection, [message], list(descriptors.values()))
        told = self._connection.recv(MESSAGE_BYTES)
        if not told:
            raise RuntimeError("the warm interpreter has ended; its own errors stand above")
        self.pid = int(told)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; its exit code, or less than 0 for a signal.

        Raises:
            TimeoutError: It has not ended by then.
        """
        self._connection.settimeout(timeout)
        told = self._connection.recv(MESSAGE_BYTES)
        self._connection.close()
        return int(told) if told else -signal.SIGKILL

    def kill(self) -> None:
        """Ends it with all of its group."""
        os.killpg(self.pid, signal.SIGKILL)


class WarmCommands:
    """Runs commands in forks: `run` is as much of `subprocess.run` as tests use.

    Args:
        commands: The interpreter that commands are forked from.
        servers: The interpreter that their servers are forked from.
    """

    def __init__(self, commands: WarmInterpreter, servers: WarmInterpreter) -> None:
        self._commands = commands
        self._servers = servers

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: str | Path,
        env: Mapping[str, str] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        """Runs `python -m MODULE ...` or `python -c CODE ...`, and keeps what it prints."""
        with (
            open(os.devnull, "rb") as nothing,  # noqa: PTH123  # a device
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            process = WarmProcess(
                self._commands.address,
                command,
                cwd,
                os.environ if env is None else env,
                {0: nothing.fileno(), 1: out.fileno(), 2: err.fileno()},
                self._servers.address,
            )
            try:
                code = process.wait(timeout)
            except BaseException:
                process.kill()
                raise
            printed = []
            for file in (out, err):
                file.seek(0)
                printed.append(file.read().decode())
        return subprocess.CompletedProcess(list(command), code, *printed)


def fork_servers_from(address: str) -> None:
    """Has this process's fork servers forked from a warm interpreter."""
    from stepbench.process import fork_server

    setattr(fork_server, "subprocess", warm_subprocess(address))  # noqa: B010  # a stand-in


def warm_subprocess(address: str) -> SimpleNamespace:
    """Stands in for `subprocess` in `stepbench.process.fork_server`."""

    def popen(command: list[str], **options: Any) -> Any:
        if command[0] != sys.executable:  # another environment
            return subprocess.Popen(command, **options)
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a device
            numbers = {number: number for number in (1, 2, *options["pass_fds"])}
            descriptors = {0: nothing.fileno(), **numbers}
            return WarmProcess(address, command, options["cwd"], options["env"], descriptors)

    return SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL)
