"""Parts of a profile that may fail or be missing without an effect on the rest."""

from collections.abc import Iterator
from contextlib import contextmanager


class PartMissing(Exception):  # noqa: N818  # not an error: there is nothing to show
    """The reason why a part of the profile is missing."""


@contextmanager
def optional_part(part: str, left_out: dict[str, str]) -> Iterator[None]:
    """Records why a part is left out, or how it failed, and continues without the part.

    Args:
        part: The name of the part.
        left_out: The reasons by part; the new reason is added.
    """
    try:
        yield
    except PartMissing as reason:
        left_out[part] = str(reason)
    except Exception as error:  # noqa: BLE001  # any model or data set may fail
        left_out[part] = " ".join(f"failed: {error!r}".split())[:300]
