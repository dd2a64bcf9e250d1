"""What was compiled, by torch's own counters."""

from stepbench_reports.schema.record import Count, Record, Seconds


class Occurrence(Record, frozen=True, kw_only=True):
    """A graph break or a recompilation.

    Attributes:
        reason: As torch gives it, on one line.
        where: File, line and function of the user's code; `None` where torch does not tell.
        count: How often.
    """

    reason: str
    where: str | None
    count: Count


class ColdStart(Record, frozen=True, kw_only=True):
    """A first compilation with an empty cache, in a process of its own.

    Attributes:
        compile_s: What torch itself says that compiling took, seconds.
        first_step_s: The whole first step, seconds.
    """

    compile_s: Seconds
    first_step_s: Seconds


class Compilation(Record, frozen=True, kw_only=True):
    """What was compiled in the case's process, with a warm cache, by torch's own counters.

    Attributes:
        backend: The compiler.
        mode: Its mode; `None` where a backend was named.
        graphs: Graphs that were compiled.
        graph_breaks: Graph breaks.
        recompiles: Recompilations.
        compile_s: What torch itself says that compiling took, seconds.
        breaks: Graph breaks, those at one place and for one reason together.
        recompiled: Recompilations, those of one function and for one reason together.
        cold: A first compilation with an empty cache; shared by cases that compile the same.
    """

    backend: str
    mode: str | None
    graphs: Count
    graph_breaks: Count
    recompiles: Count
    compile_s: Seconds
    breaks: tuple[Occurrence, ...] = ()
    recompiled: tuple[Occurrence, ...] = ()
    cold: ColdStart | None = None
