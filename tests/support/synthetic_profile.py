"""Builds run directories with profiles."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import synthetic

STEPS = 2
EAGER = [
    ("forward", "aten::addmm", "[8] [4, 2]", 4, 0.006, 0),
    ("forward", "aten::addmm", "[2] [4, 8]", 2, 0.002, 64),
    ("forward", "(outside operators)", "", 2, 0.002, 0),
    ("backward", "aten::mm", "", 4, 0.010, 512),
]
COMPILED = [
    ("forward", "graph_0_cpp_fused_0", "", 2, 0.003, 0),
    ("forward", "(outside operators)", "", 2, 0.003, 0),
    ("backward", "aten::mm", "", 4, 0.008, 512),
]


def profile(rows: list[tuple[Any, ...]], *, device_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """A case's profile, from rows of operators."""
    names = ("phase", "operator", "shapes", "calls", "host_self_s", "allocated_bytes")
    operators = [
        {**dict(zip(names, row, strict=True)), "device_self_s": device_s * number}
        for number, row in enumerate(rows)
    ]
    return {
        "trace": {"bytes": 80_000, "events": 2000},
        "board": {"bytes": 900_000, "left_out": {"graph": "failed: no | trace"}},
        "breakdown": {
            "steps": STEPS, "step_s": 0.022, "phase_s": {}, "rows": operators,
            "device_idle": {"0": 0.25} if device_s else {},
            "memory_peak_bytes": {"cpu": 2 * 2**20},
        },
        "curves": None, "workers": None, "snapshot_bytes": None, "elapsed_s": 1.0, **more,
    }  # fmt: skip


def profile_file(file: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """A case's file in `profiles/`, beside its file in `cases/`."""
    head = {"schema": 2, "id": file["id"], "case": file["case"], "status": "ok", "reason": None}
    return {**head, "profile": profile}


def write_run(path: Path, **more: Any) -> Path:
    """Writes the run of `synthetic.two_cases` with a profile of each case."""
    files = synthetic.two_cases()
    synthetic.write_run(path, files)
    (path / "profiles").mkdir()
    for file, rows in zip(files, (EAGER, COMPILED), strict=True):
        content = profile_file(file, profile(rows, **more))
        (path / "profiles" / f"{file['id']}.json").write_text(json.dumps(content))
    return path
