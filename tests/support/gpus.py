"""Hides NVIDIA's GPUs from the tests, and shows them to the children of tests that need one.

Most tests are about the CPU, and their results must not depend on the machine. A process that has
asked torch for a GPU in vain does not find one later, and many tests share a process. So a test
that needs a GPU uses it in a process that it starts, never in its own.
"""

import functools
import os
import subprocess
import sys

import pytest

VARIABLE = "CUDA_VISIBLE_DEVICES"
BEFORE = "STEPBENCH_TESTS_CUDA_VISIBLE_DEVICES"
"""The variable that keeps the value from before; a worker of xdist inherits it from its parent."""
ALL = "all"
"""The value of `BEFORE` if `VARIABLE` was not set: every GPU is visible."""
_QUERY = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 3)"


def hide() -> None:
    """Hides the GPUs from this process and its children; to be called before torch is imported."""
    os.environ.setdefault(BEFORE, os.environ.get(VARIABLE, ALL))
    os.environ[VARIABLE] = ""


def show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows the children of a test the GPUs that were visible before."""
    before = os.environ[BEFORE]
    if before == ALL:
        monkeypatch.delenv(VARIABLE)
    else:
        monkeypatch.setenv(VARIABLE, before)


@functools.cache
def absence_reason() -> str | None:
    """The reason if children find no GPU, once they are shown; else `None`."""
    from stepbench.devices.kinds import kind_of

    if not kind_of("cuda").seems_present():
        return "this machine has no NVIDIA GPU, or CUDA_VISIBLE_DEVICES hides it"
    found = subprocess.run([sys.executable, "-c", _QUERY], check=False, timeout=120)
    return None if found.returncode == 0 else "torch cannot use this machine's NVIDIA GPU"
