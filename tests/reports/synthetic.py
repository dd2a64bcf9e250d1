"""Builds run directories, with laps that are drawn or written out: nothing is measured."""

import copy
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

AXES: dict[str, list[Any]] = {
    "workload": ["convnet"],
    "dataset": ["own"],
    "device": ["cpu"],
    "batch_size": [4, 32],
    "num_workers": [0, 2],
    "compile": ["off", "default"],
    "precision": ["fp32"],
}


def case_id(axes: Mapping[str, Any]) -> str:
    a = dict(axes)
    return (
        f"{a['workload']}-{a['device']}-b{a['batch_size']}-w{a['num_workers']}-"
        f"{a['compile']}-{a['precision']}"
    )


def product(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def laps(seed: int, steps: int, **median_ms: float) -> dict[str, list[float]]:
    """Skewed laps, in seconds, around the medians that are given in ms; `step` is their sum."""
    generator = np.random.default_rng(seed)
    drawn = {
        phase: ms / 1e3 * generator.lognormal(0, 0.05, steps) for phase, ms in median_ms.items()
    }
    drawn["step"] = np.sum(list(drawn.values()), axis=0)
    return {phase: values.tolist() for phase, values in drawn.items()}


def case_file(
    axes: Mapping[str, Any],
    host: dict[str, list[float]],
    device: dict[str, list[float]] | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """A case's file. Without `blocks`, the bare blocks are as fast as the lapped ones."""
    steps = len(host["step"])
    elapsed_s = sum((device or host)["step"])
    content = {
        "schema": 1,
        "id": case_id(axes),
        "case": dict(axes),
        "status": "ok",
        "reason": None,
        "detail": None,
        "axis": None,
        "start_s": 0.014,
        "elapsed_s": 7.31,
        "data": {"name": "CIFAR-10 format", "origin": "generated", "length": 10000},
        "model": {"name": "ConvNet", "parameters": 62006, "trainable": 62006},
        "settings": {"threads": 2, "interop_threads": 2, "seed": 0, "deterministic": False},
        "clock": {"name": "time.perf_counter_ns", "resolution_s": 1e-9},
        "phases": [phase for phase in host if phase != "step"],
        "laps": {"host": host, "device": device},
        "blocks": [
            {"kind": "lapped", "steps": steps, "elapsed_s": elapsed_s},
            {"kind": "bare", "steps": steps, "elapsed_s": elapsed_s},
        ],
        "sampling": {"stopped": "precise", "rel_error": 0.01, "target": 0.02, "elapsed_s": 2.1},
        "warmup": {"steps": 12, "elapsed_s": 0.4, "settled": True, "step_s": 0.002},
        "first_step_s": 0.06 if axes["compile"] == "off" else 8.2,
        "loader_start_s": 0.031,
        "compile": None
        if axes["compile"] == "off"
        else {
            "backend": "inductor",
            "mode": axes["compile"],
            "cache": "cold",
            "graphs": 1,
            "graph_breaks": 0,
        },
        "memory": {
            "host_peak_bytes": 335134720,
            "device_peak_allocated_bytes": None,
            "device_peak_reserved_bytes": None,
        },
    }
    return {**content, **changed}


def failed_file(axes: Mapping[str, Any], status: str, reason: str, **more: Any) -> dict[str, Any]:
    content = {"schema": 1, "id": case_id(axes), "case": dict(axes), "status": status}
    empty = dict.fromkeys(["data", "model", "laps", "blocks", "sampling", "compile", "memory"])
    return {**content, "reason": reason, "detail": None, "elapsed_s": 3.2, **empty, **more}


def run_facts(axes: Mapping[str, Sequence[Any]], cases: list[str]) -> dict[str, Any]:
    return {
        "schema": 1,
        "id": "20261124-123015-k3f9",
        "started": "2026-11-24T12:30:15+00:00",
        "command": "python -m bench --batch-size 4 32",
        "stepbench": "0.1.0",
        "axes": dict(axes),
        "include": [],
        "exclude": [],
        "cases": cases,
        "sampling": {"steps": None, "max_time_s": 3.0, "rel_error": 0.02, "deadline_s": 300.0},
        "data_dir": None,
        "machine": {
            "cpu": "Intel(R) Xeon(R) Processor",
            "logical_cores": 2,
            "physical_cores": 2,
            "usable_cores": 2,
            "memory_bytes": 25204162560,
            "system": "Linux 6.1.0",
            "python": "3.11.7",
            "devices": {"cpu": "Intel(R) Xeon(R) Processor"},
        },
        "packages": {"torch": "2.15.0", "torchvision": "0.29.2", "pytest-benchmark": "5.3.1"},
        "server": {"import_s": 9.5},
    }


def write_run(
    path: Path,
    files: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Sequence[Any]] = AXES,
    cases: list[str] | None = None,
    **changed: Any,
) -> Path:
    """Writes a run directory with these case files, and `changed` facts in its `run.json`."""
    (path / "cases").mkdir(parents=True)
    known = [str(file["id"]) for file in files] if cases is None else cases
    (path / "run.json").write_text(json.dumps({**run_facts(axes, known), **changed}))
    for file in files:
        (path / "cases" / f"{file['id']}.json").write_text(json.dumps(file))
    return path


def believable_files() -> list[dict[str, Any]]:
    """Eight cases of a small network on a CPU; one has crashed."""
    files = []
    for seed, axes in enumerate(product(AXES)):
        large, compiled = axes["batch_size"] == 32, axes["compile"] != "off"
        if large and compiled and axes["num_workers"] == 2:
            reason = "ended by signal 11 (SIGSEGV); run it by itself, with --compile off to compare"
            detail = (
                "Fatal Python error: Segmentation fault | in `_inductor`\nThread 0x7f <unknown>"
            )
            files.append(failed_file(axes, "crashed", reason, detail=detail))
            continue
        medians = {
            "dataload": (3.9 if large else 0.51) * (0.21 if axes["num_workers"] else 1),
            "forward": (2.9 if large else 0.52) * (0.8 if compiled and large else 1.1),
            "backward": (4.4 if large else 0.66) * (0.85 if compiled and large else 1.15),
            "optimizer": 0.26,
        }
        files.append(case_file(axes, laps(seed, 40 if large else 200, **medians)))
    return files


def two_cases(
    change: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Eager and compiled, with laps whose figures can be found by hand.

    Eager steps take 10 ms, compiled ones 8 ms; each phase is the same in every step.
    """
    axes = {name: values[0] for name, values in AXES.items()}
    eager = {"dataload": 1, "forward": 3, "backward": 5, "optimizer": 1, "step": 10}
    compiled = {"dataload": 1, "forward": 2, "backward": 4, "optimizer": 1, "step": 8}
    files = [
        case_file(
            {**axes, "compile": mode}, {name: [ms / 1e3] * 20 for name, ms in medians.items()}
        )
        for mode, medians in (("off", eager), ("default", compiled))
    ]
    files = copy.deepcopy(files)
    if change is not None:
        for file in files:
            change(file)
    return files
