"""The search path of the parent process: without the current directory.

Imports nothing but what Python itself has loaded already, since a file of the current directory
could stand in for anything else.
"""

import os
import sys


def leave_out_current_directory() -> None:
    """Keeps files of the current directory from standing in for modules that stepbench imports.

    Children find the user's modules by a search path of their own.
    """
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  # see above
    beside = os.path.join(os.path.dirname(own), "reports")  # noqa: PTH118, PTH120  # in a checkout
    current = {"", os.getcwd()}  # noqa: PTH109  # as `sys.path` writes it
    sys.path[:] = [entry for entry in sys.path if entry not in current]
    checkout = os.path.isdir(os.path.join(beside, "stepbench_reports"))  # noqa: PTH112, PTH118
    for root in (own, *([beside] if checkout else [])):
        if root not in sys.path:
            sys.path.append(root)
