"""The trace format that profilers export and TensorBoard, Perfetto and Chrome read.

A file holds an object whose `traceEvents` are the events: `ts` and `dur` in microseconds, `ph` the
kind (`X` has a duration, `i` is a moment), `cat` the category, `args` whatever else there is. See
"Trace Event Format" by the Chromium project. Knows no torch.
"""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepbench_reports.schema.files import atomic_write

STEP = "ProfilerStep#"
"""How the mark of a profiled step begins."""
FAST = 1
"""How hard to compress: more is slower, and saves little."""

_CATEGORIES = {
    # torch-tb-profiler 0.4.3 was written for the names on the right.
    "cuda_runtime": "runtime",
    "cuda_driver": "runtime",
    "fwdbwd": "forward_backward",
}


def read(place: Path) -> dict[str, Any]:
    """A trace's content.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no trace.
    """
    raw = place.read_bytes()
    text = gzip.decompress(raw) if place.suffix == ".gz" else raw
    content = json.loads(text, strict=False)  # names may hold control characters
    if not isinstance(content, dict) or not isinstance(content.get("traceEvents"), list):
        raise ValueError(f"{place}: holds no traceEvents")  # noqa: TRY004  # of the file's content
    return content


def write(content: Mapping[str, Any], place: Path) -> int:
    """Writes a trace, compressed, whole or not at all.

    Args:
        content: The trace.
        place: Where; it shows up there only once it is complete.

    Returns:
        Its size in bytes.
    """
    with atomic_write(place) as beside:
        beside.write_bytes(gzip.compress(json.dumps(content).encode(), FAST))
    return place.stat().st_size


def for_tensorboard(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same trace in the form in which torch-tb-profiler 0.4.3 shows the truth.

    It takes no notice of marks (`user_annotation`), so that the DataLoader's time is always 0 and
    the phases are missing from the operators; it does not know what torch calls a device's runtime
    today, so that no operator has any time on the device; and it adds its tracks of a device's use
    at the end of the file, where `traceEvents` has to be the last key for that.
    """
    rest = {key: value for key, value in content.items() if key != "traceEvents"}
    return {**rest, "traceEvents": [_renamed(event) for event in content["traceEvents"]]}


def _renamed(event: dict[str, Any]) -> dict[str, Any]:
    category = event.get("cat")
    if category == "user_annotation" and not str(event.get("name")).startswith(STEP):
        return {**event, "cat": "cpu_op"}
    if category in _CATEGORIES:
        return {**event, "cat": _CATEGORIES[category]}
    return event
