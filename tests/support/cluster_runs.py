"""Runs on real clusters, as tests start them."""

import json
import signal
import subprocess  # noqa: TC003  # a name in a string
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 150.0
"""The longest wait for something that takes seconds, even on a busy machine."""
WAITS = """
    import os, pathlib

    def wait(self, index):
        node = os.environ["STEPBENCH_NODE"]
        while not pathlib.Path("go").exists() and not pathlib.Path(f"go-{node}").exists():
            pathlib.Path(f"waiting-{node}").touch()
            time.sleep(0.05)
        return torch.full((8,), index / 64), index % 2

    Data.__getitem__ = wait
"""
"""A dataset that waits until the file `go`, or `go-NODE`, exists, and creates `waiting-NODE`."""
ARGUMENTS = (
    "--workload", "tiny.py:make", "--device", "cpu", "--num-workers", "0", "--compile", "off",
    "--steps", "2", "--no-parity", "--output", "out",
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A running `stepbench run`, in the test's directory.

    Attributes:
        process: The process.
        directory: The test's directory.
    """

    process: "subprocess.Popen[str]"
    directory: Path

    def output(self) -> str:
        return (self.directory / "output.txt").read_text()

    def wait_for(self, holds: Callable[[], object], what: str) -> None:
        """Waits until something holds while the command runs."""
        deadline = time.monotonic() + LIMIT_S
        while not holds():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.output()}"
            time.sleep(0.1)

    def wait_for_nodes(self, *names: str) -> None:
        """Waits until jobs wait for the file `go` on the nodes."""
        for name in names:
            self.wait_for((self.directory / f"waiting-{name}").exists, f"a job on {name}")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """The exit code and the output, once the command has ended."""
        code = self.process.wait(LIMIT_S)
        return code, self.output()


Start = Callable[..., Command]


def statuses(run: Path) -> dict[str, str]:
    """The status of each case in a run directory, by its batch size."""
    files = [json.loads(file.read_text()) for file in (run / "cases").glob("*.json")]
    return {f"b{file['case']['batch_size']}": file["status"] for file in files}


def hosts(run: Path) -> set[str]:
    """The hosts that have measured cases of a run."""
    return {json.loads(file.read_text())["host"] for file in (run / "cases").glob("*.json")}
