"""Parts of a profile that may be missing: the rest need not suffer for them."""

from collections.abc import Iterator
from contextlib import contextmanager


class LeftOut(Exception):  # noqa: N818  # it is no error: there is nothing to show
    """The reason why something is not there."""


@contextmanager
def apart(part: str, left_out: dict[str, str]) -> Iterator[None]:
    """Notes why a part is left out, or how it failed.

    Args:
        part: What it is called.
        left_out: Where the reason goes, by part.
    """
    try:
        yield
    except LeftOut as reason:
        left_out[part] = str(reason)
    except Exception as error:  # noqa: BLE001  # any model or data set may refuse to be looked at
        left_out[part] = " ".join(f"failed: {error!r}".split())[:300]
