"""An exception, and the exceptions that it wraps."""

import traceback
from collections.abc import Iterator


def wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yields an exception and all that it wraps, each once.

    Args:
        error: The exception. Its `__cause__` counts, and a compiler error's `inner_exception`.
    """
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop()
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [current.__cause__, getattr(current, "inner_exception", None)]


def text(error: BaseException) -> str:
    """The type and the text of an exception, as a traceback ends with them."""
    return "".join(traceback.format_exception_only(error)).strip()
