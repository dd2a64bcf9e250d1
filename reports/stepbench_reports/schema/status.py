"""The statuses with which a case can end."""

from enum import StrEnum


class Status(StrEnum):
    """A status with which a case ended."""

    OK = "ok"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    ERROR = "error"
    UNSUPPORTED = "unsupported"
