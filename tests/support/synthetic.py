"""Builds run directories with generated or constant laps; nothing is measured."""

import copy
import itertools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stepbench_reports.schema.names import file_name

AXES: dict[str, list[Any]] = {
    "workload": ["convnet"],
    "dataset": ["own"],
    "loop": ["train"],
    "device": ["cpu"],
    "batch_size": [4, 32],
    "accumulate": [1],
    "num_workers": [0, 2],
    "prefetch_factor": [2],
    "persistent_workers": [False],
    "pin_memory": [False],
    "non_blocking": [False],
    "compile": ["off", "default"],
    "dynamic": ["auto"],
    "precision": ["fp32"],
    "channels_last": [False],
    "optimizer": ["own"],
}
SETTINGS: dict[str, Any] = {
    "threads": 2, "interop_threads": 2, "seed": 0, "deterministic": False,
    "float32_matmul_precision": "highest", "cudnn_benchmark": False, "allocator": None,
    "sync_phases": False,
}  # fmt: skip
"""The settings of a case, as its file has them."""
MEMORY: dict[str, Any] = {
    "host_peak_bytes": 335134720, "saved_bytes": 2457600,
    "device_peak_allocated_bytes": None, "device_peak_reserved_bytes": None,
    "warmup": {"device_peak_allocated_bytes": None, "device_peak_reserved_bytes": None},
}  # fmt: skip
"""The memory of a case on the CPU, as its file has it."""
GENERATIONS = 4
"""The number of generations of a case; each has a lapped and a bare turn."""
FIGURES = (
    "data", "model", "laps", "blocks", "sampling", "compile", "memory", "micro_laps", "noise",
    "loader", "work", "launch_overhead", "turns",
)  # fmt: skip
"""The fields of a case file that are null if the case was not measured."""


def case_id(axes: Mapping[str, Any]) -> str:
    """A case's id, as docs/run-directory.md describes it: without axes at their defaults."""
    a = dict(axes)
    parts = [
        a["workload"],
        "" if a["dataset"] == "own" else a["dataset"],
        "" if a["loop"] == "train" else a["loop"],
        a["device"].replace(":", ""),
        f"b{a['batch_size']}",
        "" if a["accumulate"] == 1 else f"acc{a['accumulate']}",
        f"w{a['num_workers']}",
        "" if a["prefetch_factor"] == 2 else f"pf{a['prefetch_factor']}",
        "persistent" if a["persistent_workers"] else "",
        "pin" if a["pin_memory"] else "",
        "nonblocking" if a["non_blocking"] else "",
        a["compile"],
        {"auto": "", "on": "dynamic", "off": "static"}[a["dynamic"]],
        a["precision"],
        "channels_last" if a["channels_last"] else "",
        "" if a["optimizer"] == "own" else a["optimizer"],
    ]
    return file_name("-".join(filter(None, parts)))


def product(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def laps(seed: int, steps: int, **median_ms: float) -> dict[str, list[float]]:
    """Skewed laps in seconds, generated around medians in ms; `step` is their sum."""
    generator = np.random.default_rng(seed)
    generated = {
        phase: ms / 1e3 * generator.lognormal(0, 0.05, steps) for phase, ms in median_ms.items()
    }
    generated["step"] = np.sum(list(generated.values()), axis=0)
    return {phase: values.tolist() for phase, values in generated.items()}


def blocks(steps: int, lapped_s: float, bare_s: float) -> list[dict[str, Any]]:
    """A lapped and a bare block for each generation; if steps do not divide evenly, the first ones
    are longer.

    Args:
        steps: The number of steps in all lapped blocks, and in all bare blocks.
        lapped_s: The mean step of lapped blocks, seconds.
        bare_s: The mean step of bare blocks, seconds.
    """
    sizes = [steps // GENERATIONS + (i < steps % GENERATIONS) for i in range(GENERATIONS)]
    return [
        {"kind": kind, "steps": size, "elapsed_s": size * step_s}
        for size in sizes
        if size
        for kind, step_s in (("lapped", lapped_s), ("bare", bare_s))
    ]


def turns(
    blocks: Sequence[Mapping[str, Any]], laps: Mapping[str, Sequence[float]] | None = None
) -> list[dict[str, Any]]:
    """A turn for each block; the n-th block of a kind is of generation n.

    Args:
        blocks: The blocks.
        laps: The laps of the lapped turns, in order, from which come the turns' phases.
    """
    generations: Counter[str] = Counter()
    taken, step = [], 0
    for block in blocks:
        kind, end = block["kind"], step + block["steps"]
        phases = {}
        if kind == "lapped" and laps is not None:
            phases = {name: sum(lap[step:end]) for name, lap in laps.items() if name != "step"}
            step = end
        taken.append(
            {
                "group": 0, "generation": generations[kind], "round": 0, "kind": kind,
                "steps": block["steps"], "elapsed_s": block["elapsed_s"], "counts": True,
                "run_delay": 0.001, "phases_s": phases,
            }
        )  # fmt: skip
        generations[kind] += 1
    return taken


def sampled(
    blocks: Sequence[Mapping[str, Any]], laps: Mapping[str, Sequence[float]] | None = None
) -> dict[str, Any]:
    """The fields of a case file that follow from its blocks."""
    taken = turns(blocks, laps)
    generations = len({turn["generation"] for turn in taken})
    return {
        "blocks": list(blocks),
        "turns": taken,
        "noise": noise(blocks),
        "sampling": {
            "stopped": "precise", "rel_error": 0.01, "target": 0.02, "elapsed_s": 2.1,
            "generations": generations,
        },
    }  # fmt: skip


def bare(steps_s: Sequence[float], steps: int = 10) -> list[dict[str, Any]]:
    """A bare block for each mean step in seconds: one a generation."""
    return [{"kind": "bare", "steps": steps, "elapsed_s": steps * step_s} for step_s in steps_s]


def slow_down(file: dict[str, Any], factor: float) -> None:
    """Makes every step of a case take so many times as long."""
    for track in file["laps"]["host"].values():
        track[:] = [seconds * factor for seconds in track]
    for block in (*file["blocks"], *file["turns"]):
        block["elapsed_s"] *= factor


def noise(
    blocks: Sequence[Mapping[str, Any]], discarded: int = 0, **changed: Any
) -> dict[str, Any]:
    quiet = {
        "others": 0.013, "steal": 0.0, "pressure": 0.02, "cpu_per_wall": 1.8,
        "involuntary_switches": 12, "clock_hz": None, "throttled": None,
    }  # fmt: skip
    watched = [{"kind": block["kind"], "kept": True, **quiet} for block in blocks]
    watched += [{"kind": "bare", "kept": False, **quiet, "others": 0.4}] * discarded
    return {"interference": False, "discarded": discarded, "blocks": watched, **changed}


def case_file(
    axes: Mapping[str, Any],
    host: dict[str, list[float]],
    device: dict[str, list[float]] | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """A case's file; bare turns are as fast as lapped turns."""
    steps = len(host["step"])
    step_s = sum((device or host)["step"]) / steps
    compiled = axes["compile"] != "off"
    content = {
        "schema": 4,
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
        "settings": copy.deepcopy(SETTINGS),
        "clock": {"name": "time.perf_counter_ns", "resolution_s": 1e-9},
        "phases": [phase for phase in host if phase != "step"],
        "laps": {"host": host, "device": device},
        "micro_laps": None,
        **sampled(blocks(steps, step_s, step_s), device or host),
        "warmup": {"steps": 12, "elapsed_s": 0.4, "steady": True, "step_s": 0.002},
        "first_step_s": 0.9 if compiled else 0.06,
        "loader": _loader(axes),
        "compile": _compilation(axes["compile"]) if compiled else None,
        "memory": copy.deepcopy(MEMORY),
        "work": {"flops": 124190000, "bytes": 31457280, "operators": 84, "reason": None},
        "launch_overhead": _launch_overhead(compiled=compiled),
    }
    return {**content, **changed}


def loader(**changed: Any) -> dict[str, Any]:
    """The loader's figures in a case's file."""
    usual = {
        "start_s": 0.031,
        "restart_s": 0.045,
        "samples_per_s": 7412.0,
        "batches": 120,
        "interference": False,
        "ready": 0,
        "unloaded_step_s": None,
    }
    return {**usual, **changed}


def _loader(axes: Mapping[str, Any]) -> dict[str, Any]:
    return loader(ready=axes["num_workers"] * axes["prefetch_factor"])


def _compilation(mode: str) -> dict[str, Any]:
    return {
        "backend": "inductor",
        "mode": mode,
        "graphs": 1,
        "graph_breaks": 0,
        "recompiles": 0,
        "compile_s": 0.81,
        "cold": {"compile_s": 7.6, "first_step_s": 8.2},
        "breaks": [],
        "recompiled": [],
    }


def _launch_overhead(*, compiled: bool) -> dict[str, Any]:
    if compiled:
        reason = "a smaller batch would recompile the model"
        return {"batch_size": None, "forward_s": None, "backward_s": None, "reason": reason}
    return {"batch_size": 1, "forward_s": 0.0005, "backward_s": 0.0006, "reason": None}


def failed_file(axes: Mapping[str, Any], status: str, reason: str, **more: Any) -> dict[str, Any]:
    content = {"schema": 4, "id": case_id(axes), "case": dict(axes), "status": status}
    empty = dict.fromkeys(FIGURES)
    return {**content, "reason": reason, "detail": None, "elapsed_s": 3.2, **empty, **more}


def peaks(**changed: Any) -> dict[str, Any]:
    """A device's peak throughput in `run.json`."""
    usual = {
        "matmul_flops_per_s": {"fp32": 1.8e11, "bf16": 4.1e11, "fp16": None},
        "copy_bytes_per_s": 1.9e10,
        "decoded_images_per_s": 1450.0,
        "threads": 2,
        "measured": "2026-11-24T12:29:50+00:00",
    }
    return {**usual, **changed}


def parity_file(axes: Mapping[str, Any], verdict: str, **more: Any) -> dict[str, Any]:
    """A case's file in `parity/`, with `more` in its judgement."""
    rule = {"multiple": 4.0, "floor": 1e-6}
    return {
        "schema": 2,
        "id": case_id(axes),
        "case": dict(axes),
        "status": "ok",
        "reason": None,
        "judged_case": case_id(axes),
        "judgement": {"verdict": verdict, "reason": None, "rule": rule, **more},
    }


def run_facts(axes: Mapping[str, Sequence[Any]], cases: list[str]) -> dict[str, Any]:
    return {
        "schema": 4,
        "id": "20261124-123015-k3f9",
        "started": "2026-11-24T12:30:15+00:00",
        "command": "stepbench run --batch-size 4 32",
        "stepbench": "0.1.0",
        "axes": dict(axes),
        "include": [],
        "exclude": [],
        "cases": cases,
        "sampling": {
            "steps": None,
            "generations": 4,
            "max_time_s": 3.0,
            "rel_error": 0.02,
            "one_at_a_time": False,
            "sync_phases": False,
            "deadline_s": 300.0,
        },
        "settings": {
            "threads": None,
            "interop_threads": None,
            "seed": 0,
            "cudnn_benchmark": False,
            "deterministic": False,
            "allocator": None,
        },
        "cold": False,
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
        "machine_peaks": {"cpu": peaks()},
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
    case_ids = [str(file["id"]) for file in files] if cases is None else cases
    (path / "run.json").write_text(json.dumps({**run_facts(axes, case_ids), **changed}))
    for file in files:
        (path / "cases" / f"{file['id']}.json").write_text(json.dumps(file))
    return path


def eight_cases() -> list[dict[str, Any]]:
    """Eight cases of a small network on a CPU; one crashed."""
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
    """An eager and a compiled case, with laps whose statistics are easy to compute by hand.

    Eager steps take 10 ms, compiled steps 8 ms; each phase is the same in every step.
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
