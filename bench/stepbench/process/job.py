"""A job for a child process, and its outcome."""

from dataclasses import dataclass
from typing import Any

from stepbench_reports.schema.status import Status


@dataclass(frozen=True)
class Outcome:
    """The outcome of a child.

    Attributes:
        status: The status of the job.
        result: The result of the job's function, if `status` is `ok`.
        reason: One sentence with the cause and remedy, if `status` is not `ok`.
        detail: The traceback, or the end of the child's output.
        usage: True if the child raised a `UsageError`: a mistake in the request.
        axis: The axis whose value is unsupported, if `status` is `unsupported`.
        start_s: The time from the request for the child to its first message, seconds.
        elapsed_s: The time from the request for the child to its end, seconds.
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
    """The task of a child.

    Attributes:
        function: `module:function`, looked up in the child, so that the parent imports nothing.
            Called as `function(parent, *arguments)`. `parent`, a `process.child.Parent`, is called
            with a few words on the current activity; it also passes commands and answers.
        arguments: The picklable arguments of the function.
        memory_limit_bytes: The host memory that the child and all its descendants may use together
            (PSS, on Linux), bytes; a job that needs more ends as `oom`.
        label: The job's name in messages to the user, such as a case's id.
    """

    function: str
    arguments: tuple[Any, ...] = ()
    memory_limit_bytes: int | None = None
    label: str = "a process"
