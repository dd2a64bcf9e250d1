"""Runs commands in forks of interpreters that have already imported the required modules.

A run of stepbench takes two interpreters: the command's, which imports pandas, and its server's,
which imports torch. Both imports take longer than a typical test. So the tests start each
interpreter once, and run commands in forks of the two. Tests of how processes start and end use
real processes.
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
"""The modules that the interpreter of commands imports."""
_SERVE = (
    "import json, sys; tests, number, modules = sys.argv[1:]; sys.path.insert(0, tests); "
    "from support.warm_interpreter import serve; "
    "serve(int(number), json.loads(modules))"
)


def server_modules() -> tuple[str, ...]:
    """The modules that the interpreter of servers imports."""
    from stepbench.regression import facts, servers
    from stepbench.runner.preload import PRELOAD, PRELOAD_COMPILE, PRELOAD_PROFILE

    return (
        "support.quiet",
        *PRELOAD,
        *PRELOAD_COMPILE,
        *PRELOAD_PROFILE,
        *facts.PRELOAD,
        *servers.PRELOAD,
        "torchvision.models",
    )


@dataclass(frozen=True)
class WarmInterpreter:
    """An interpreter that has imported modules, and is forked for each command.

    Attributes:
        address: The address of its socket.
    """

    address: str


@contextlib.contextmanager
def interpreter(modules: Sequence[str]) -> Iterator[WarmInterpreter]:
    """An interpreter that imports modules, for as long as the context lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="stepbench-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        address = f"{directory}/listener"
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
    """A forked process, with the part of the interface of `subprocess.Popen` that tests use.

    Args:
        address: The address of the interpreter from which the process is forked.
        command: The command line: an interpreter with `-c` or `-m`.
        cwd: The working directory.
        env: The environment variables.
        descriptors: File descriptors, by their number in the process.
        servers: The address of the interpreter from which the process forks its servers; `None`
            starts real servers.
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
        pid = self._connection.recv(MESSAGE_BYTES)
        if not pid:
            raise RuntimeError("the warm interpreter has ended; its errors are printed above")
        self.pid = int(pid)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the process to end; returns its exit code, below 0 if a signal ended it.

        Raises:
            subprocess.TimeoutExpired: The process has not ended in time.
        """
        self._connection.settimeout(timeout)
        try:
            code = self._connection.recv(MESSAGE_BYTES)
        except TimeoutError:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
        self._connection.close()
        return int(code) if code else -signal.SIGKILL

    def kill(self) -> None:
        """Kills the process with its process group."""
        os.killpg(self.pid, signal.SIGKILL)


class WarmCommands:
    """Runs commands in forks; `run` supports the part of `subprocess.run` that tests use.

    Args:
        commands: The interpreter from which commands are forked.
        servers: The interpreter from which their servers are forked.
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
        """Runs `python -m MODULE ...` or `python -c CODE ...`, and captures the output."""
        with (
            open(os.devnull, "rb") as null,  # noqa: PTH123  # a device
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            process = WarmProcess(
                self._commands.address,
                command,
                cwd,
                os.environ if env is None else env,
                {0: null.fileno(), 1: out.fileno(), 2: err.fileno()},
                self._servers.address,
            )
            try:
                code = process.wait(timeout)
            except BaseException:
                process.kill()
                raise
            output = []
            for file in (out, err):
                file.seek(0)
                output.append(file.read().decode())
        return subprocess.CompletedProcess(list(command), code, *output)


def fork_servers_from(address: str) -> None:
    """Makes this process fork its servers from a warm interpreter."""
    from stepbench.process import server_process

    setattr(server_process, "subprocess", warm_subprocess(address))  # noqa: B010  # a stand-in


def warm_subprocess(address: str) -> SimpleNamespace:
    """A replacement for `subprocess` in `stepbench.process.server_process`."""

    def popen(command: list[str], **options: Any) -> Any:
        if command[0] != sys.executable:  # another environment
            return subprocess.Popen(command, **options)
        with open(os.devnull, "rb") as null:  # noqa: PTH123  # a device
            numbers = {number: number for number in (1, 2, *options["pass_fds"])}
            descriptors = {0: null.fileno(), **numbers}
            return WarmProcess(address, command, options["cwd"], options["env"], descriptors)

    return SimpleNamespace(
        Popen=popen, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
    )
