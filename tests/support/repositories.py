"""A user's repository for the gate: a workload, and a module that a change makes slow."""

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


def git(place: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=a@b.invalid", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def make(place: Path, pace: str = "pace.py") -> Path:
    """A repository whose one commit is fast; `pace` is where the module lies."""
    place.mkdir(parents=True)
    git(place, "init", "-q", "-b", "main")
    (place / "train.py").write_text(WORKLOAD)
    (place / pace).parent.mkdir(parents=True, exist_ok=True)
    (place / pace).write_text(FAST)
    git(place, "add", "-A")
    git(place, "commit", "-q", "-m", "Begin")
    return place


CHECK = (sys.executable, "-m", "stepbench", "regression")
OF_A_CASE = ("--workload", "train.py:make", *CASE, "--no-parity")


def environment(**more: str) -> dict[str, str]:
    """As a user's, in which Python compiles what it imports."""
    own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONUNBUFFERED": "1", **more}


def worktrees(repository: Path) -> list[str]:
    """Those beside the repository's own."""
    lines = git(repository, "worktree", "list", "--porcelain").splitlines()
    return [line.partition(" ")[2] for line in lines if line.startswith("worktree ")][1:]
