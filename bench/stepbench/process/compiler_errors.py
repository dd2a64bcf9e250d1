"""Recognizes that a tool which compiles code is missing, from an exception's message.

Only the message tells: torch wraps the exceptions of Inductor and Triton in exceptions of its own,
and an exception of a compile worker arrives as text.
"""

import re
from pathlib import Path

_NO_HEADER = re.compile(r"\bPython\.h(: \D|' file not found)")
"""The complaint of GCC or Clang about a missing `Python.h`. GCC also translates the words."""
_HEADER_DIRECTORY = re.compile(r"-I([^\s',]*/python3[^\s',/]*)")
"""The directory of Python's headers in a compiler's command."""


def missing_tool(message: str) -> str | None:
    """A sentence with the missing tool and the remedy; `None` if the message is of another kind.

    Args:
        message: An exception's type and text, with all lines.
    """
    if "InvalidCxxCompiler" in message or "Failed to find C++ compiler" in message:
        return (
            "torch.compile needs a C++ compiler, and there is none; install g++ (Debian: apt-get "
            "install g++), or set CXX"
        )
    if "Failed to find C compiler" in message:
        return (
            "Triton needs a C compiler, and there is none; install gcc (Debian: apt-get install "
            "gcc), or set CC"
        )
    if _NO_HEADER.search(message) or _lacks_header(message):
        return (
            "torch.compile needs Python's headers, and there is no Python.h; install them (Debian: "
            "apt-get install python3-dev), or use a Python that comes with them"
        )
    return None


def _lacks_header(message: str) -> bool:
    """True if a compiler failed, and the directory that it was given for `Python.h` has none.

    Triton's exception has only the command; what the compiler said is in the log.
    """
    directories = _HEADER_DIRECTORY.findall(message)
    return (
        "returned non-zero exit status" in message
        and bool(directories)
        and not any((Path(directory) / "Python.h").exists() for directory in directories)
    )
