"""Compilation of a case, as counted by torch."""

from stepbench_reports.schema.record import Count, Record, Seconds


class Occurrence(Record, frozen=True, kw_only=True):
    """A graph break or a recompilation.

    Attributes:
        reason: Torch's reason, on one line.
        where: File, line and function of the user's code; `None` if torch does not report them.
        count: The number of occurrences.
    """

    reason: str
    where: str | None
    count: Count


class ColdStart(Record, frozen=True, kw_only=True):
    """A first compilation with an empty cache, in a separate process.

    Attributes:
        compile_s: The compilation time that torch reports, seconds.
        first_step_s: The duration of the whole first step, seconds.
    """

    compile_s: Seconds
    first_step_s: Seconds


class Compilation(Record, frozen=True, kw_only=True):
    """Compilation in the case's process, with a warm cache, as counted by torch.

    Attributes:
        backend: The compiler backend.
        mode: The mode of `torch.compile`; `None` if the case names a backend instead.
        graphs: The number of compiled graphs.
        graph_breaks: The number of graph breaks.
        recompiles: The number of recompilations.
        compile_s: The compilation time that torch reports, seconds.
        breaks: Graph breaks, grouped by place and reason.
        recompiled: Recompilations, grouped by function and reason.
        cold: A first compilation with an empty cache, shared by all cases that compile to the
            same code.
        cuda_graph_skips: The number of times that torch did not use a CUDA graph; `None` if the
            case does not use CUDA graphs.
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
    cuda_graph_skips: Count | None = None
