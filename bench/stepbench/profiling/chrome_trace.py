"""The trace format that profilers export and TensorBoard, Perfetto and Chrome read.

A file holds an object whose `traceEvents` are the events: `ts` and `dur` in microseconds, `ph` the
kind (`X` has a duration, `i` is a moment), `cat` the category, `args` all further data. See
"Trace Event Format" by the Chromium project. Does not import torch.
"""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepbench_reports.schema.files import atomic_write

STEP = "ProfilerStep#"
"""The prefix of the name that marks a profiled step."""
GZIP_LEVEL = 1
"""The gzip compression level; higher levels are slower and save little."""

_CATEGORIES = {
    # torch-tb-profiler 0.4.3 was written for the names on the right.
    "cuda_runtime": "runtime",
    "cuda_driver": "runtime",
    "fwdbwd": "forward_backward",
}


def read(file: Path) -> dict[str, Any]:
    """Reads a trace, compressed if its name ends in `.gz`.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file is not a trace.
    """
    raw = file.read_bytes()
    text = gzip.decompress(raw) if file.suffix == ".gz" else raw
    content = json.loads(text, strict=False)  # names may hold control characters
    if not isinstance(content, dict) or not isinstance(content.get("traceEvents"), list):
        raise ValueError(f"{file}: has no traceEvents")  # noqa: TRY004  # the file's content is wrong
    return content


def write(content: Mapping[str, Any], file: Path) -> int:
    """Writes a compressed trace, atomically.

    Args:
        content: The trace.
        file: The file; it appears only once it is complete.

    Returns:
        The file's size, bytes.
    """
    with atomic_write(file) as temporary:
        temporary.write_bytes(gzip.compress(json.dumps(content).encode(), GZIP_LEVEL))
    return file.stat().st_size


def for_tensorboard(content: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a trace to the form that torch-tb-profiler 0.4.3 shows correctly.

    The plugin ignores marks (`user_annotation`): the DataLoader's time would always be 0, and the
    operators would lack the phases. The plugin does not know torch's present categories of a
    device's runtime: no operator would have any device time. The plugin appends its tracks of a
    device's use to the end of the file, so `traceEvents` must be the last key.
    """
    rest = {key: value for key, value in content.items() if key != "traceEvents"}
    return {**rest, "traceEvents": [_convert(event) for event in content["traceEvents"]]}


def _convert(event: dict[str, Any]) -> dict[str, Any]:
    category = event.get("cat")
    if category == "user_annotation" and not str(event.get("name")).startswith(STEP):
        return {**event, "cat": "cpu_op"}
    if category in _CATEGORIES:
        return {**event, "cat": _CATEGORIES[category]}
    return event
