"""Finds out whether forked processes can still use this machine's devices."""

import os
import sys
from typing import Any

from stepbench.devices.kinds import KINDS


def device_lost_by_forking() -> str | None:
    """The kind of device that processes forked from this one cannot use, if there is such a kind.

    That is a device whose runtime this process has initialized. torch knows it in a forked process
    only, so this function forks one. Without torch, or without the device, nothing is lost.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    modules: dict[str, Any] = {
        name: getattr(torch, name)
        for name in KINDS
        if hasattr(getattr(torch, name, None), "_is_in_bad_fork")
    }
    pid = os.fork()
    if not pid:
        lost = 0
        try:
            for bit, module in enumerate(modules.values()):
                lost |= module._is_in_bad_fork() << bit
        finally:
            os._exit(lost)
    lost = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    # Asking torch for devices may initialize their runtime; here, that has already happened.
    for bit, (name, module) in enumerate(modules.items()):
        if lost >> bit & 1 and module.is_available():
            return name
    return None
