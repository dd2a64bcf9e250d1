"""A user's repository for the regression check: a workload, and a module that becomes slow."""

import os
import subprocess
import sys
from pathlib import Path

WORKLOAD = """
import torch
from stepbench import Workload
from pace import pause


class Net(torch.nn.Linear):
    def forward(self, x):
        pause()
        return super().forward(x)


def make():
    data = torch.utils.data.TensorDataset(torch.ones(64, 8), torch.zeros(64).long())
    return Workload(
        model=lambda: Net(8, 2),
        dataset=lambda: data,
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    )
"""
FAST = "def pause():\n    pass\n"
SLOW = "import time\n\n\ndef pause():\n    time.sleep(0.02)\n"
CASE = ("--batch-size", "4", "--num-workers", "0", "--compile", "off", "--device", "cpu")


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            "git",
            "-C",
            str(directory),
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b.invalid",
            *arguments,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def make(directory: Path, pace: str = "pace.py") -> Path:
    """Makes a repository with one fast commit; `pace` is the path of the module."""
    directory.mkdir(parents=True)
    git(directory, "init", "-q", "-b", "main")
    (directory / "train.py").write_text(WORKLOAD)
    (directory / pace).parent.mkdir(parents=True, exist_ok=True)
    (directory / pace).write_text(FAST)
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", "Begin")
    return directory


CHECK = (sys.executable, "-m", "stepbench", "regression")
CASE_OPTIONS = ("--workload", "train.py:make", *CASE, "--no-parity")


def environment(**more: str) -> dict[str, str]:
    """The environment of a user, in which Python caches compiled modules."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONUNBUFFERED": "1", **more}


def worktrees(repository: Path) -> list[str]:
    """The paths of a repository's worktrees, without the main one."""
    lines = git(repository, "worktree", "list", "--porcelain").splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith("worktree ")][1:]
