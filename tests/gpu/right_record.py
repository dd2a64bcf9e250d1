"""A record of the check if stepbench is right, made by hand with figures as of a fast GPU."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support import synthetic, synthetic_check, synthetic_profile

Record = dict[str, Any]

STEPS = 6
FAST, SLOW, GREEDY = range(3)
"""The cases of the run `truth`."""
OFF, DEFAULT, GRAPHS = range(3)
"""The cases of the run `real`."""
FP32, TF32, BF16 = range(3)
"""The cases of the run `big`."""
SLEEPS_S = {"forward": 0.004, "backward": 0.006, "optimizer": 0.002}
H2D_S = 0.0013
SLOW_BATCH_S = 0.0323
STARVED_S = 0.019
SLOWER = 0.1 * SLEEPS_S["backward"] / (sum(SLEEPS_S.values()) + H2D_S)
"""The change of the step in the regression check."""
CONVNET = {"wall": 6e-4, "forward": 2e-4, "backward": 3e-4, "optimizer": 5e-5, "peak": 2e7}
RESNET = {"wall": 0.02, "forward": 0.006, "backward": 0.012, "optimizer": 5e-4, "peak": 2e9}
GEMM = {"bf16": 7.5e14, "fp16": 7.4e14, "fp32": 5.1e13, "tf32": 4e14}
COPY = 4.2e12
KERNELS = {"transfer": 1e-5, "forward": 6e-5, "backward": 1.1e-4, "optimizer": 2e-5}
PROFILED_STEPS = 4


def laps(**phases: float) -> dict[str, list[float]]:
    """The same laps in every step."""
    all_laps = {**phases, "step": sum(phases.values())}
    return {name: [seconds] * STEPS for name, seconds in all_laps.items()}


def case(
    device: Mapping[str, float], *, loading: float = 1e-5, plain_s: float | None = None, **axes: Any
) -> dict[str, Any]:
    """The file of a case on a GPU; the host only waits for the loader, and queues work."""
    all_axes = {name: values[0] for name, values in synthetic.AXES.items()}
    all_axes |= {"device": "cuda", "compile": "off", **axes}
    host = laps(dataload=loading, **dict.fromkeys(list(device)[1:], 2e-5))
    file = synthetic.case_file(all_axes, host, laps(**device))
    file["loader"]["unloaded_step_s"] = plain_s
    for block in file["noise"]["blocks"]:
        block["clock_hz"] = 1.98e9
    return file


def trained(reference: Mapping[str, float], **axes: Any) -> dict[str, Any]:
    """The file of a case that is as fast as the loop by hand."""
    phases = {name: reference[name] for name in SLEEPS_S}
    file = case({"dataload": 1e-6, "transfer": 2e-5, **phases}, plain_s=reference["wall"], **axes)
    file["memory"]["device_peak_allocated_bytes"] = int(reference["peak"])
    return file


def truth_files() -> list[dict[str, Any]]:
    """The files of the cases `fast`, `slow` and `greedy`."""
    work = {"transfer": H2D_S, **SLEEPS_S}
    greedy = {"device": "cuda", "workload": "truth_gpu.py:greedy", "compile": "off"}
    base = {name: values[0] for name, values in synthetic.AXES.items()}
    return [
        case({"dataload": 1e-5, **work}, workload="truth_gpu.py:fast"),
        case({"dataload": STARVED_S, **work}, loading=SLOW_BATCH_S, workload="truth_gpu.py:slow"),
        synthetic.failed_file(
            {**base, **greedy}, "oom", "the device has 139 GiB; lower --batch-size"
        ),
    ]


def correct_record() -> Record:
    """The results of check.py if stepbench is right, before they are written."""
    modes, precisions = ("off", "default", "reduce-overhead"), ("fp32", "tf32", "bf16")
    real = [trained(CONVNET, batch_size=32, compile=mode) for mode in modes]
    big = [
        trained(RESNET, workload="resnet18", batch_size=512, num_workers=8, precision=precision)
        for precision in precisions
    ]
    real_s = real[OFF]["blocks"][0]["elapsed_s"]
    return {
        "reference": {
            "errors": {},
            "sleeps": dict(SLEEPS_S),
            "h2d": H2D_S,
            "slow_batch": SLOW_BATCH_S,
            "gemm": dict(GEMM),
            "copy": COPY,
            "convnet": {"samples_per_s": 32 * real[OFF]["blocks"][0]["steps"] / real_s},
            "resnet18_bf16": {"samples_per_s": 512 / RESNET["wall"], "peak": RESNET["peak"]},
            "kernels": dict(KERNELS),
        },
        "truth": truth_files(),
        "real": real,
        "big": big,
        "prof": [trained(CONVNET, batch_size=32)],
        "machine_peaks": synthetic.peaks(matmul_flops_per_s=dict(GEMM), copy_bytes_per_s=COPY),
        "parity": {file["id"]: "pass" for file in (*real, *big)},
        "kernels": dict(KERNELS),
        "pairs": [synthetic_check.entry(n, {"backward": SLOWER}) for n in range(1, 7)],
    }


def write(record: Record, directory: Path) -> Path:
    """Writes a record as check.py does, without the parts that are `None`."""
    if record["reference"] is not None:
        (directory / "reference.json").write_text(json.dumps(record["reference"]))
    for stage in ("truth", "real", "big", "prof"):
        if record[stage] is not None:
            write_run(record, stage, directory / stage)
    if record["pairs"] is not None:
        synthetic_check.write(directory / "check", record["pairs"])
    return directory


def write_run(record: Record, stage: str, directory: Path) -> None:
    """Writes a run's directory, with each case's parity and profile."""
    files = record[stage]
    axes = {name: [*dict.fromkeys(f["case"][name] for f in files)] for name in synthetic.AXES}
    synthetic.write_run(directory, files, axes, machine_peaks={"cuda": record["machine_peaks"]})
    for name in ("parity", "profiles"):
        (directory / name).mkdir()
    for file in files:
        verdict = record["parity"].get(file["id"])
        if stage in {"real", "big"} and verdict is not None:
            content = synthetic.parity_file(file["case"], verdict, reason="a reason")
            (directory / "parity" / f"{file['id']}.json").write_text(json.dumps(content))
        if stage == "prof" and record["kernels"] is not None:
            profile = synthetic_profile.profile([], breakdown=breakdown(record["kernels"]))
            content = synthetic_profile.profile_file(file, profile)
            (directory / "profiles" / f"{file['id']}.json").write_text(json.dumps(content))


def breakdown(kernels: Mapping[str, float]) -> dict[str, Any]:
    """A profile's rows: two operators in each phase, over all profiled steps."""
    rows = [
        {
            "phase": phase, "operator": operator, "shapes": "", "calls": PROFILED_STEPS,
            "host_self_s": 1e-4, "device_self_s": share * seconds * PROFILED_STEPS,
            "allocated_bytes": 0,
        }
        for phase, seconds in kernels.items()
        for operator, share in (("aten::a", 0.75), ("aten::b", 0.25))
    ]  # fmt: skip
    return {"steps": PROFILED_STEPS, "step_s": 0.01, "phase_s": {}, "rows": rows}
