"""Names of files, made from values that may hold anything."""

import hashlib
import re
from typing import Annotated

from msgspec import Meta

MAX_CHARACTERS = 120
"""The length of the longest name; a file's suffix follows."""
_DIGEST_CHARACTERS = 10

CaseId = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,119}\Z", description="case id")
]
"""A case's id, which names its files: letters, digits, `.`, `_` and `-`."""


def file_name(text: str) -> str:
    """Makes a name that is safe in paths, and different for each text.

    A text of at most `MAX_CHARACTERS` letters, digits, `.`, `_` and `-` is its own name, unless it
    begins with `.` or `-`. In any other text, other characters are replaced, and a digest follows.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip(".-")
    if slug == text and len(text) <= MAX_CHARACTERS:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{slug[: MAX_CHARACTERS - _DIGEST_CHARACTERS - 1]}-{digest}".lstrip("-")
