"""Lines of the repository behind a slowdown: records in `facts.jsonl`."""

from stepbench_reports.schema.record import Count, Record


class CallerLine(Record, frozen=True, kw_only=True):
    """A line of the repository that calls an operator, from a trace with Python stacks.

    Attributes:
        phase: The phase in which the operator was called.
        operator: The operator's name; `(outside operators)` stands for Python and waiting.
        file: The file, relative to the repository's root.
        line: The line of the call; where an expression such as `a * b` calls the operator, the
            first line of the function.
        function: The function that contains the line.
        code: The line's text.
        calls: The number of calls per step.
        host_self_s: The operator's self time on the host per step, seconds. Recording stacks makes
            it longer.
    """

    phase: str
    operator: str
    file: str
    line: Count
    function: str
    code: str
    calls: float
    host_self_s: float


class ChangedLines(Record, frozen=True, kw_only=True):
    """Lines of a file that differ between base and head.

    Attributes:
        file: The file in head, relative to the repository's root.
        first: The number of the first line in head.
        count: The number of lines in head; 0 if lines were only removed.
        code: The first of the lines in head.
    """

    file: str
    first: Count
    count: Count
    code: tuple[str, ...] = ()
