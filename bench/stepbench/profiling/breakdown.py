"""Breaks a trace's events down by phase and operator: self time on the host and the device.

The host's time is attributed in full: each moment of a phase belongs to the innermost operator that
is running, or to Python (`OUTSIDE`) if none is. A device's work belongs to the operator that
launched it, and to the phase of the launch. Does not import torch.
"""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stepbench.profiling.chrome_trace import STEP
from stepbench_reports.schema.profile import Breakdown, OperatorRow

OUTSIDE = "(outside operators)"
"""The time in which no operator runs on any thread: Python, and waiting."""
UNLINKED = "(no operator)"
"""The device's work that no operator is known to have launched."""
_DEVICE_WORK = {"kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset"}
_RUNTIME = {"cuda_runtime", "cuda_driver", "runtime"}
_OPERATORS = {"cpu_op", "user_annotation"}
_US = 1e-6
_GRAPH_HASH = re.compile(r"(?<=^## Call CompiledFxGraph) \w+.*")
"""The hash in a compiled graph's name, removed so that the graphs of two cases have one name."""
Event = Mapping[str, Any]
Span = tuple[float, float]
Mark = tuple[float, float, str]
"""The begin and end (microseconds) and the name of a phase."""


@dataclass(frozen=True, order=True)
class Key:
    """The key of a row: a phase, an operator, and the input shapes as torch records them."""

    phase: str
    operator: str
    shapes: str


@dataclass
class _Sums:
    calls: int = 0
    host_us: float = 0.0
    device_us: float = 0.0
    allocated_bytes: int = 0


@dataclass
class _Operator:
    """One call of an operator in a trace; times in microseconds, as the trace has them."""

    name: str
    begin: float
    end: float
    shapes: str
    children_us: float = 0.0
    external_id: Any = None
    children: list["_Operator"] = field(default_factory=list)


def breakdown(events: Iterable[Event], phases: Sequence[str]) -> Breakdown:
    """Breaks a trace down by phase and operator.

    Args:
        events: The events of a trace in which steps and phases are marked.
        phases: The names of the phases, in the order of the rows.

    Raises:
        ValueError: The trace marks no step.
    """
    timed = [event for event in events if "ts" in event]
    spans = [event for event in timed if event.get("ph") == "X"]
    steps = sorted(
        _span(e) for e in spans if str(e.get("name")).startswith(STEP) and _is_host_span(e)
    )
    if not steps:
        raise ValueError("no step is marked in the trace")
    window = steps[0][0], max(end for _, end in steps)
    marks = sorted(
        (*_span(e), str(e["name"])) for e in spans if _is_host_span(e) and e["name"] in phases
    )
    marks = [mark for mark in marks if window[0] <= mark[0] < window[1]]
    timeline = _Timeline(marks)
    threads = _by_thread(spans, set(phases))
    sums: defaultdict[Key, _Sums] = defaultdict(_Sums)
    by_id = _add_host(threads, timeline, sums)
    phase_us = _add_outside(marks, threads, sums)
    _add_device(spans, threads, by_id, timeline, sums)
    _add_memory(timed, threads, timeline, sums)
    return Breakdown(
        steps=len(steps),
        step_s=sum(end - begin for begin, end in steps) * _US,
        phase_s={name: us * _US for name, us in phase_us.items()},
        rows=_rows(sums, phases),
        device_idle=dict(_idle(spans, window)),
        memory_peak_bytes=_memory_peak(timed, window),
    )


def _rows(sums: Mapping[Key, _Sums], phases: Sequence[str]) -> tuple[OperatorRow, ...]:
    """Makes the rows, in the order of the phases, and within a phase the longest first."""
    rows = [
        OperatorRow(
            phase=key.phase,
            operator=key.operator,
            shapes=key.shapes,
            calls=total.calls,
            host_self_s=total.host_us * _US,
            device_self_s=total.device_us * _US,
            allocated_bytes=total.allocated_bytes,
        )
        for key, total in sums.items()
    ]
    order = {phase: number for number, phase in enumerate(phases)}
    rows.sort(key=lambda r: (order[r.phase], -max(r.device_self_s, r.host_self_s), r.operator))
    return tuple(rows)


def _is_host_span(event: Event) -> bool:
    """True for a mark or operator of the host; a device's copies of marks have other categories."""
    return event.get("cat") in _OPERATORS


def _span(event: Event) -> Span:
    return float(event["ts"]), float(event["ts"]) + float(event["dur"])


class _Timeline:
    """Finds the phase of a moment."""

    def __init__(self, marks: Sequence[Mark]) -> None:
        self._marks = marks
        self._begins = [begin for begin, _, _ in marks]

    def phase_at(self, moment: float) -> str | None:
        """Returns the name of the phase at a moment, microseconds; `None` between phases."""
        number = bisect_right(self._begins, moment) - 1
        if number < 0 or moment >= self._marks[number][1]:
            return None
        return self._marks[number][2]


# --- the host ------------------------------------------------------------------------------------


def _add_host(
    threads: Mapping[Any, Sequence[_Operator]], timeline: _Timeline, sums: defaultdict[Key, _Sums]
) -> dict[Any, tuple[str, _Operator]]:
    """Adds each operator's self time on the host; returns phase and operator by external id."""
    by_id: dict[Any, tuple[str, _Operator]] = {}
    for roots in threads.values():
        for operator in _with_descendants(roots):
            phase = timeline.phase_at(operator.begin)
            if phase is None:
                continue
            total = sums[Key(phase, operator.name, operator.shapes)]
            total.calls += 1
            total.host_us += operator.end - operator.begin - operator.children_us
            if operator.external_id is not None:
                by_id[operator.external_id] = phase, operator
    return by_id


def _add_outside(
    marks: Iterable[Mark],
    threads: Mapping[Any, Sequence[_Operator]],
    sums: defaultdict[Key, _Sums],
) -> dict[str, float]:
    """Adds the time in which no operator ran; returns each phase's duration, microseconds."""
    merged = _merged((root.begin, root.end) for roots in threads.values() for root in roots)
    phase_us: defaultdict[str, float] = defaultdict(float)
    for begin, end, name in marks:
        phase_us[name] += end - begin
        idle_us = end - begin - _covered(merged, (begin, end))
        outside = sums[Key(name, OUTSIDE, "")]
        outside.calls += 1
        outside.host_us += idle_us
    return phase_us


def _by_thread(spans: Iterable[Event], phases: set[str]) -> dict[Any, list[_Operator]]:
    """Returns each thread's outermost operators, in order, with the operators that they called."""
    by_thread: defaultdict[Any, list[_Operator]] = defaultdict(list)
    for event in spans:
        name = str(event.get("name"))
        if not _is_host_span(event) or name in phases or name.startswith(STEP):
            continue
        arguments = event.get("args") or {}
        begin, end = _span(event)
        by_thread[event.get("tid")].append(
            _Operator(
                name=_GRAPH_HASH.sub("", name),
                begin=begin,
                end=end,
                shapes=_shapes(arguments.get("Input Dims")),
                external_id=arguments.get("External id"),
            )
        )
    return {thread: _nested(operators) for thread, operators in by_thread.items()}


def _nested(operators: list[_Operator]) -> list[_Operator]:
    """Nests the operators of one thread as trees; returns the roots."""
    roots: list[_Operator] = []
    stack: list[_Operator] = []
    for operator in sorted(operators, key=lambda o: (o.begin, -o.end)):
        while stack and stack[-1].end <= operator.begin:
            stack.pop()
        if stack:
            caller = stack[-1]
            operator.end = min(operator.end, caller.end)  # each time is rounded separately
            caller.children_us += operator.end - operator.begin
            caller.children.append(operator)
        else:
            roots.append(operator)
        stack.append(operator)
    return roots


def _with_descendants(operators: Iterable[_Operator]) -> Iterator[_Operator]:
    for operator in operators:
        yield operator
        yield from _with_descendants(operator.children)


def _shapes(dimensions: object) -> str:
    """Formats the tensors' shapes: `[8, 3, 32, 32] [6, 3, 5, 5]`; other inputs have no shape."""
    if not isinstance(dimensions, list):
        return ""
    return " ".join(str(shape) for shape in dimensions if shape)


def _innermost(roots: Sequence[_Operator], moment: float) -> _Operator | None:
    innermost = None
    level: Sequence[_Operator] = roots
    while level:
        number = bisect_right(level, moment, key=lambda operator: operator.begin) - 1
        if number < 0 or moment > level[number].end:
            break
        innermost = level[number]
        level = innermost.children
    return innermost


# --- the device ----------------------------------------------------------------------------------


def _add_device(
    spans: Sequence[Event],
    threads: Mapping[Any, Sequence[_Operator]],
    by_id: Mapping[Any, tuple[str, _Operator]],
    timeline: _Timeline,
    sums: defaultdict[Key, _Sums],
) -> None:
    """Adds the duration of each piece of device work to the operator that launched it."""
    launches = {}
    for event in spans:
        if event.get("cat") in _RUNTIME:
            correlation = (event.get("args") or {}).get("correlation")
            launches[correlation] = event.get("tid"), float(event["ts"])
    for event in spans:
        if event.get("cat") not in _DEVICE_WORK:
            continue
        arguments = event.get("args") or {}
        phase, operator = by_id.get(arguments.get("External id"), (None, None))
        if arguments.get("correlation") in launches:
            thread, moment = launches[arguments["correlation"]]
            phase = timeline.phase_at(moment)
            operator = _innermost(threads.get(thread, ()), moment) or operator
        if phase is None:
            continue
        key = (
            Key(phase, UNLINKED, "")
            if operator is None
            else Key(phase, operator.name, operator.shapes)
        )
        sums[key].device_us += float(event["dur"])


def _idle(spans: Sequence[Event], window: Span) -> Iterator[tuple[str, float]]:
    """Yields each device's idle share of the time.

    The time runs from the first step's begin to the end of the steps or of the device's work,
    whichever is later.
    """
    work: defaultdict[str, list[Span]] = defaultdict(list)
    for event in spans:
        if event.get("cat") in _DEVICE_WORK:
            work[str((event.get("args") or {}).get("device", 0))].append(_span(event))
    for device, pieces in sorted(work.items()):
        begin, end = window[0], max(window[1], *(end for _, end in pieces))
        yield device, 1 - _covered(_merged(pieces), (begin, end)) / (end - begin)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Merges overlapping spans; returns them in order."""
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged


def _covered(merged: Sequence[Span], window: Span) -> float:
    """Sums the time of a window that merged spans cover, microseconds."""
    first = max(0, bisect_right(merged, window[0], key=lambda span: span[0]) - 1)
    total = 0.0
    for begin, end in merged[first:]:
        if begin >= window[1]:
            break
        total += max(0.0, min(end, window[1]) - max(begin, window[0]))
    return total


# --- memory --------------------------------------------------------------------------------------


def _memory_events(events: Iterable[Event]) -> Iterator[tuple[Event, Mapping[str, Any]]]:
    for event in events:
        if event.get("name") == "[memory]":
            yield event, event.get("args") or {}


def _add_memory(
    events: Iterable[Event],
    threads: Mapping[Any, Sequence[_Operator]],
    timeline: _Timeline,
    sums: defaultdict[Key, _Sums],
) -> None:
    """Adds the bytes of each allocation to the operator that was running."""
    for event, arguments in _memory_events(events):
        size = int(arguments.get("Bytes") or 0)
        phase = timeline.phase_at(float(event["ts"]))
        if size <= 0 or phase is None:
            continue
        operator = _innermost(threads.get(event.get("tid"), ()), float(event["ts"]))
        key = (
            Key(phase, OUTSIDE, "")
            if operator is None
            else Key(phase, operator.name, operator.shapes)
        )
        sums[key].allocated_bytes += size


def _memory_peak(events: Iterable[Event], window: Span) -> dict[str, int]:
    peaks: dict[str, int] = {}
    for event, arguments in _memory_events(events):
        if window[0] <= float(event["ts"]) <= window[1]:
            kind, number = arguments.get("Device Type"), arguments.get("Device Id")
            device = "cpu" if kind == 0 else str(number)
            total = int(arguments.get("Total Allocated") or 0)
            peaks[device] = max(total, peaks.get(device, 0))
    return peaks
