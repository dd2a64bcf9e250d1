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
    current = {"", os.getcwd()}  # noqa: PTH109  # as `sys.path` writes it
    sys.path[:] = [entry for entry in sys.path if entry not in current]
    if own not in sys.path:
        sys.path.append(own)
