"""Finds the lines of the repository's files that call operators, from a trace with Python stacks.

A stack slows Python down, so this trace tells who calls what, and not how long a step takes. Runs
in a side's process.
"""

import linecache
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from stepbench.measurement.timed_loop import TimedLoop
from stepbench.profiling.breakdown import OUTSIDE
from stepbench.profiling.phase_marks import PhaseMarks
from stepbench.regression.tree import Tree
from stepbench_reports.schema.cause import CallerLine

STEPS = 3
"""The number of steps that are traced with stacks."""
MAX_LINES = 400
"""The most lines that are recorded, the longest first."""
CODE_CHARACTERS = 160
"""The longest line of code that is recorded."""
_NS = 1e-9


@dataclass(frozen=True, order=True)
class Location:
    """A line of a file of the repository.

    Attributes:
        file: The file, relative to the repository's root.
        line: The line's number.
        function: The name of the function that contains the line.
        code: The line's text.
    """

    file: str
    line: int
    function: str
    code: str


@dataclass(frozen=True)
class CallLines:
    """Lines that call operators.

    Attributes:
        lines: The lines, per phase and operator; the longest first.
        files: All files of the repository in which traced functions lie, relative to its root.
    """

    lines: tuple[CallerLine, ...]
    files: tuple[str, ...]


def trace(timed_loop: TimedLoop, tree: Tree) -> CallLines:
    """Traces `STEPS` steps with Python stacks.

    Args:
        timed_loop: The loop to run, warmed up.
        tree: The files of the side.
    """
    phases = timed_loop.step_phases()
    marks = PhaseMarks(phases, STEPS)
    with profile(activities=[ProfilerActivity.CPU], with_stack=True) as profiler:
        marks.begin()
        timed_loop.loop(
            timed_loop.training, timed_loop.source.batches, STEPS, marks.lap, marks.end_step
        )
    results: Any = profiler.profiler
    events = results.kineto_results.experimental_event_tree()
    return collect(events, {str(phase) for phase in phases}, Sources(tree))


class Sources:
    """Recognizes the files of a side's tree by the names that the profiler records.

    The profiler records a file's name relative to the entry of `sys.path` that contains the file.

    Args:
        tree: The files of the side.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = replace(tree, root=tree.checkout)
        self._path = cache(self._find)

    def location(self, frame: Any) -> Location | None:  # noqa: ANN401  # a frame of torch's profiler
        """The location of a frame; `None` if the frame is in no file of the tree."""
        path = self._path(frame.file_name)
        if path is None:
            return None
        code = linecache.getline(str(path), frame.line_number).strip()[:CODE_CHARACTERS]
        name = path.relative_to(self._tree.root).as_posix()
        return Location(name, frame.line_number, frame.function_name, code)

    def _find(self, name: str) -> Path | None:
        """The path of a file of the tree; `None` for a file that is outside of the tree."""
        for entry in ("", *sys.path):  # "" keeps an absolute name
            path = Path(entry, name).resolve()
            if path.is_file():
                return path if self._tree.contains(path) else None
        return None


def collect(roots: Sequence[Any], phases: set[str], sources: Sources) -> CallLines:
    """Sums up calls and self times by phase, operator and line.

    Args:
        roots: The event tree of torch's profiler.
        phases: The names of the marks of phases in it.
        sources: Recognizes the repository's files.
    """
    timeline = _PhaseTimeline(roots, phases)
    located = list(_with_locations(roots, sources))
    forward = {
        event.extra_fields.sequence_number: location
        for event, location, _ in located
        if _is_operator(event) and event.extra_fields.sequence_number >= 0 and location is not None
        if not _is_backward(event)
    }
    calls: defaultdict[tuple[str, str, Location], int] = defaultdict(int)
    seconds: defaultdict[tuple[str, str, Location], float] = defaultdict(float)
    for event, caller, sequence_number in located:
        location = forward.get(sequence_number, caller)
        phase = timeline.phase_at(event.start_time_ns)
        if location is None or phase is None or event.name in phases:
            continue
        key = phase, event.name if _is_operator(event) else OUTSIDE, location
        calls[key] += 1
        seconds[key] += _self_ns(event) * _NS
    longest = sorted(seconds, key=lambda key: -seconds[key])[:MAX_LINES]
    return CallLines(
        tuple(_caller_line(key, calls[key], seconds[key]) for key in longest),
        tuple(sorted({location.file for _, location, _ in located if location is not None})),
    )


def _caller_line(key: tuple[str, str, Location], calls: int, seconds: float) -> CallerLine:
    phase, operator, location = key
    return CallerLine(
        phase=phase,
        operator=operator,
        file=location.file,
        line=location.line,
        function=location.function,
        code=location.code,
        calls=calls / STEPS,
        host_self_s=seconds / STEPS,
    )


class _PhaseTimeline:
    """The phases of the traced steps, by time."""

    def __init__(self, roots: Sequence[Any], phases: set[str]) -> None:
        self._marks = sorted(
            (event.start_time_ns, event.start_time_ns + event.duration_time_ns, event.name)
            for event in _descendants(roots)
            if event.name in phases
        )

    def phase_at(self, time_ns: int) -> str | None:
        """The phase at a time; `None` outside of all phases."""
        number = bisect_right(self._marks, time_ns, key=lambda mark: mark[0]) - 1
        return self._marks[number][2] if number >= 0 and time_ns < self._marks[number][1] else None


def _with_locations(
    roots: Sequence[Any], sources: Sources
) -> Iterator[tuple[Any, Location | None, int]]:
    """Yields each event, its innermost location in the tree, and its backward's sequence number.

    The sequence number connects a backward function with the forward operator that it belongs to;
    -1 outside of backward functions.
    """
    stack: list[tuple[Any, Location | None, int]] = [(root, None, -1) for root in roots]
    while stack:
        event, location, sequence_number = stack.pop()
        fields = event.extra_fields
        if hasattr(fields, "caller"):
            location = sources.location(fields.caller) or location
        if hasattr(fields, "callsite"):
            location = sources.location(fields.callsite) or location
        if _is_operator(event) and _is_backward(event):
            sequence_number = fields.sequence_number
        yield event, location, sequence_number
        stack += [(child, location, sequence_number) for child in event.children]


def _descendants(roots: Sequence[Any]) -> Iterator[Any]:
    stack = list(roots)
    while stack:
        event = stack.pop()
        yield event
        stack += event.children


def _is_operator(event: Any) -> bool:  # noqa: ANN401  # an event of torch's profiler
    return hasattr(event.extra_fields, "sequence_number")


def _is_backward(event: Any) -> bool:  # noqa: ANN401  # an event of torch's profiler
    return bool(event.extra_fields.scope.name == "BACKWARD_FUNCTION")


def _self_ns(event: Any) -> float:  # noqa: ANN401  # an event of torch's profiler
    """The time of an event without that of its children."""
    end = event.start_time_ns + event.duration_time_ns
    inner = sum(
        min(child.start_time_ns + child.duration_time_ns, end) - child.start_time_ns
        for child in event.children
    )
    return max(0.0, float(event.duration_time_ns - inner))
