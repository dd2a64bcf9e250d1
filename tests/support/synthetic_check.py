"""Checks as `stepbench regression` records them, made up."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stepbench_reports import regression
from stepbench_reports.regression import Check

CASE = "convnet-cpu-b32-w0-off-fp32"
OTHER = "convnet-cpu-b4-w0-off-fp32"
SHARES = {"dataload": 0.3, "forward": 0.3, "backward": 0.39, "optimizer": 0.01}
STEP_S = 0.004


def told(**changes: Any) -> dict[str, Any]:
    """What a side tells at its end."""
    usual: dict[str, Any] = {
        "host_peak_bytes": 2**28, "device_peak_bytes": None, "compile": None, "modules": 3,
        "foreign": [], "packages": [],
    }  # fmt: skip
    return {**usual, **changes}


def entry(
    number: int,
    changes: Mapping[str, float] | None = None,
    *,
    case: str = CASE,
    stage: str = "screen",
    disturbed: bool = False,
    base: Mapping[str, Any] | None = None,
    head: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A pair whose head is slower by shares of the step in some phases."""
    slower = changes or {}
    sides = ["base", "head", "head", "base"]
    phases = {
        phase: [
            10 * STEP_S * (share + (slower.get(phase, 0.0) if side == "head" else 0.0))
            for side in sides
        ]
        for phase, share in SHARES.items()
    }
    return {
        "case": case,
        "round": number,
        "stage": stage,
        "turns": {
            "side": sides,
            "steps": [10] * 4,
            "elapsed_s": [sum(values) for values in zip(*phases.values(), strict=True)],
            "phases_s": phases,
        },
        "sides": {"base": told(**(base or {})), "head": told(**(head or {}))},
        "disturbance": {},
        "disturbed": disturbed,
        "elapsed_s": 3.0,
    }


def noise(count: int, spread: float = 0.005, seed: int = 0) -> list[float]:
    """Changes that are noise: symmetric about 0."""
    return [float(each) for each in np.random.default_rng(seed).normal(0, spread, count)]


def entries(
    count: int, slower: float = 0.0, *, phase: str = "forward", first: int = 1, **more: Any
) -> list[dict[str, Any]]:
    """Pairs whose head is slower in a phase by about a share of the step."""
    return [
        entry(first + number, {phase: slower + each}, **more)
        for number, each in enumerate(noise(count, seed=first))
    ]


def question(cases: Sequence[str] = (CASE,), **changes: Any) -> dict[str, Any]:
    """What a check is asked."""
    side = {"commit": "0" * 40, "python": None, "packages": {"torch": "2.15.0"}}
    usual = {
        "schema": 1, "id": "regression-1", "started": "2026-11-25T09:30:00+00:00",
        "command": "stepbench regression --base main", "arguments": ["--base", "main"],
        "machine": {"cpu": "A CPU", "usable_cores": 2}, "environments": False, "notes": [],
        "sides": {
            "base": {**side, "described": "main, 000000000 (Before)"},
            "head": {**side, "described": "the working tree, 111111111 (After)"},
        },
        "smallest": 0.03, "budget_s": 600.0, "turns": {}, "settings": {}, "axes": {},
        "fingerprint": "f", "cases": list(cases), "failing": [], "unmeasured": [],
    }  # fmt: skip
    return {**usual, **changes}


def write(
    path: Path,
    pairs: Iterable[Mapping[str, Any]] = (),
    facts: Iterable[Mapping[str, Any]] = (),
    **changes: Any,
) -> Check:
    """A check's directory, and what is read of it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "check.json").write_text(json.dumps(question(**changes)))
    for name, lines in (("pairs.jsonl", pairs), ("facts.jsonl", facts)):
        (path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return regression.load(path)


def traces(case: str = CASE, grown_s: float = 0.0002) -> list[dict[str, Any]]:
    """A trace of each side, in which an operator grew."""

    def row(operator: str, seconds: float) -> dict[str, Any]:
        return {
            "phase": "forward", "operator": operator, "shapes": "", "calls": 10,
            "host_self_s": 10 * seconds, "device_self_s": 0.0, "allocated_bytes": 0,
        }  # fmt: skip

    return [
        {
            "kind": "operators", "case": case, "side": side,
            "breakdown": {
                "steps": 10, "rows": [row("aten::mm", seconds), row("aten::relu", 0.0001)],
            },
        }
        for side, seconds in (("base", 0.001), ("head", 0.001 + grown_s))
    ]  # fmt: skip
