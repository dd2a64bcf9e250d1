"""The parent process's module search path, without the current directory.

Imports only modules that Python loads at startup: a file in the current directory could shadow
any other module.
"""

import os
import sys


def leave_out_current_directory() -> None:
    """Removes the current directory from `sys.path`: its files could shadow imported modules.

    Child processes find the user's modules by a different search path.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  # no pathlib
    reports = os.path.join(os.path.dirname(root), "reports")  # noqa: PTH118, PTH120  # in a checkout
    current = {"", os.getcwd()}  # noqa: PTH109  # as `sys.path` writes it
    sys.path[:] = [entry for entry in sys.path if entry not in current]
    checkout = os.path.isdir(os.path.join(reports, "stepbench_reports"))  # noqa: PTH112, PTH118
    for directory in (root, *([reports] if checkout else [])):
        if directory not in sys.path:
            sys.path.append(directory)
