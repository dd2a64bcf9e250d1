"""Where this process finds modules: stepbench's own first, and none in the current directory."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def leave_out_current_directory() -> None:
    """Keeps what lies in the current directory from standing in for a part of stepbench.

    Children find the user's modules by their own search path.
    """
    sys.path[:] = [place for place in sys.path if place not in {"", os.getcwd()}] or [""]  # noqa: PTH109
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
