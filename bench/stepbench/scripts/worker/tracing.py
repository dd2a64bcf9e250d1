"""Traces some steps of a script under `torch.profiler`, with their phases marked.

Marks leave an event each in the trace. Once roles are known, the phases between them are added to
the trace, as if each had been marked when it began.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity, profile

from stepbench.devices.kinds import kind_of
from stepbench.profiling import chrome_trace
from stepbench.profiling.breakdown import breakdown
from stepbench.scripts.classify import label, step_ends
from stepbench.scripts.marks import Mark
from stepbench.scripts.requests import ScriptTrace
from stepbench.scripts.roles import Roles
from stepbench.scripts.worker.recorder import Recorder
from stepbench_reports.schema.files import TRACE_SUFFIX
from stepbench_reports.schema.phases import PHASES
from stepbench_reports.schema.profile import BoardFacts, ProfileFindings, TraceFacts
from stepbench_reports.schema.script import EVALUATION

TRACE_WARMUP = 2
"""The steps that the profiler runs but that are not kept, because it starts slowly."""
_MARK = "stepbench mark"
_NO_TABS = "not written of a script"
_TABS = ("scalars", "hparams", "images", "graph", "projector", "pr_curves")

Event = Mapping[str, Any]


class Tracing:
    """A trace under way.

    Args:
        request: The steps to trace, and the files to write.
        recorder: Records marks.
        device: The device.
    """

    def __init__(self, request: ScriptTrace, recorder: Recorder, device: str) -> None:
        self._request = request
        self._recorder = recorder
        self._began_s = time.perf_counter()
        activity = kind_of(device).profiler_activity()
        self._device = device
        self._profiler = profile(
            activities=[ProfilerActivity.CPU, *([] if activity is None else [activity])],
            record_shapes=True,
            profile_memory=True,
        )

    def begin(self) -> None:
        """Starts the profiler; `TRACE_WARMUP` steps follow, which are not kept."""
        self._profiler.start()

    def begin_marks(self) -> None:
        """Has each mark from here on leave an event in the trace."""
        self._recorder.take()
        self._recorder.record_within(partial(record_function, _MARK))

    def end(self, roles: Roles) -> ProfileFindings:
        """Stops the profiler, and writes the trace.

        Args:
            roles: The roles of the script's objects.

        Raises:
            RuntimeError: The trace lacks marks.
        """
        marks, _ = self._recorder.take()
        self._profiler.stop()
        request = self._request
        request.scratch.mkdir(parents=True, exist_ok=True)
        exported = request.scratch / "trace.json"
        self._profiler.export_chrome_trace(str(exported))
        content = chrome_trace.read(exported)
        exported.unlink()
        events = list(_with_phases(content["traceEvents"], marks, roles))
        content = {**content, "traceName": request.name, "traceEvents": events}
        trace_bytes = chrome_trace.write(content, request.trace)
        return ProfileFindings(
            trace=TraceFacts(bytes=trace_bytes, events=len(events)),
            board=BoardFacts(
                bytes=self._write_board(content), left_out=dict.fromkeys(_TABS, _NO_TABS)
            ),
            breakdown=breakdown(events, PHASES),
            elapsed_s=time.perf_counter() - self._began_s,
        )

    def _write_board(self, content: Mapping[str, Any]) -> int:
        """Writes the trace for TensorBoard; returns its size, bytes."""
        name = f"{self._device.replace(':', '')}.{time.time_ns()}{TRACE_SUFFIX}"
        folder = self._request.tensorboard / "profile"
        folder.mkdir(parents=True, exist_ok=True)
        return chrome_trace.write(chrome_trace.for_tensorboard(content), folder / name)


def _with_phases(
    events: Sequence[Event], marks: Sequence[Mark], roles: Roles
) -> Iterator[dict[str, Any]]:
    """The events of the marked steps, without marks, and with their phases and steps."""
    of_marks = sorted(
        (event for event in events if event.get("name") == _MARK and event.get("ph") == "X"),
        key=lambda event: float(event["ts"]),
    )
    if len(of_marks) != len(marks) or not marks:
        raise RuntimeError(f"{len(marks)} marks were recorded, and the trace has {len(of_marks)}")
    times = [float(event["ts"]) for event in of_marks]
    ends = step_ends(marks, roles)
    begin, end = times[0], times[ends[-1]]
    for event in events:
        moment = event.get("ts")
        if event.get("name") == _MARK:
            continue
        if moment is None or event.get("ph") == "M" or begin <= float(moment) <= end:
            yield dict(event)
    place = {key: of_marks[0][key] for key in ("pid", "tid")}

    def span(name: str, first: int, last: int) -> dict[str, Any]:
        duration = times[last] - times[first]
        kind = {"ph": "X", "cat": "user_annotation", "name": name}
        return {**kind, **place, "ts": times[first], "dur": duration}

    labels = label(marks, roles)[: ends[-1]]
    for name, group in groupby(range(len(labels)), key=labels.__getitem__):
        indexes = list(group)
        if name != EVALUATION:
            yield span(name, indexes[0], indexes[-1] + 1)
    for number, (first, last) in enumerate(zip([0, *ends], ends, strict=False)):
        yield span(f"{chrome_trace.STEP}{number}", first, last)
