"""A job for a child process, and its outcome."""

from dataclasses import dataclass
from typing import Any

from stepbench_reports.schema.status import Status


@dataclass(frozen=True)
class Outcome:
    """The outcome of a child.

    Attributes:
        status: How it ended.
        result: What its function returned, where `status` is `ok`.
        reason: One sentence with the remedy, where it is not.
        detail: The traceback, or the end of what the child printed.
        usage: Whether the child raised a `UsageError`: a mistake in what was asked for.
        axis: Of an unsupported case, the axis whose value cannot be had.
        start_s: From asking for the child to its first word, seconds.
        elapsed_s: From asking for the child to its end, seconds.
    """

    status: Status
    result: Any = None
    reason: str | None = None
    detail: str | None = None
    usage: bool = False
    axis: str | None = None
    start_s: float | None = None
    elapsed_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """A child's task.

    Attributes:
        function: `module:function`, looked up in the child, so that the parent imports nothing.
            Called as `function(report, *arguments)`; `report` takes a few words on what is being
            done and passes them to the parent.
        arguments: Picklable.
        memory_limit_bytes: What the child may allocate for itself; more ends it as `oom`.
    """

    function: str
    arguments: tuple[Any, ...] = ()
    memory_limit_bytes: int | None = None
