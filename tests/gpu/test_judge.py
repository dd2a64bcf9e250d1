"""The judge passes a correct record of a GPU, and fails exactly the claims that an error breaks.

The record is made up, with the figures of a Hopper. A change is one wrong figure in the record.
"""

import json
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from support import synthetic, synthetic_check, synthetic_profile

JUDGE = runpy.run_path(str(Path(__file__).with_name("judge.py")))
"""The script's names; a script is not imported."""
PARTS = {*JUDGE["RUN_PARTS"], "gate"}
Record = dict[str, Any]
Change = Callable[[Record], None]

STEPS = 6
FAST, SLOW, GREEDY = range(3)
"""The cases of the run `truth`."""
OFF, DEFAULT, GRAPHS = range(3)
"""The cases of the run `real`."""
FP32, TF32, BF16 = range(3)
"""The cases of the run `big`."""
SLEEPS_S = {"forward": 0.002, "backward": 0.003, "optimizer": 0.001}
H2D_S = 0.0013
SLOWER = 0.1 * SLEEPS_S["backward"] / (sum(SLEEPS_S.values()) + H2D_S)
"""The expected change of the step in the regression check."""
CONVNET = {"wall": 6e-4, "forward": 2e-4, "backward": 3e-4, "optimizer": 5e-5, "peak": 2e7}
RESNET = {"wall": 0.02, "forward": 0.006, "backward": 0.012, "optimizer": 5e-4, "peak": 2e9}
GEMM = {"bf16": 7.5e14, "fp16": 7.4e14, "fp32": 5.1e13, "tf32": 4e14}
COPY = 4.2e12
KERNELS = {"transfer": 1e-5, "forward": 6e-5, "backward": 1.1e-4, "optimizer": 2e-5}
PROFILED_STEPS = 4


# --- the record ----------------------------------------------------------------------------------


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
        case({"dataload": 0.014, **work}, loading=0.0203, workload="truth_gpu.py:slow"),
        synthetic.failed_file(
            {**base, **greedy}, "oom", "the device has 139 GiB; lower --batch-size"
        ),
    ]


def correct_record() -> Record:
    """The results of check.sh if every claim is true, before they are written."""
    modes, precisions = ("off", "default", "reduce-overhead"), ("fp32", "tf32", "bf16")
    real = [trained(CONVNET, batch_size=32, compile=mode) for mode in modes]
    faster = {name: seconds / 2 for name, seconds in CONVNET.items()}
    real[GRAPHS] = trained(faster, batch_size=32, compile="reduce-overhead")
    big = [
        trained(RESNET, workload="resnet18", batch_size=512, num_workers=8, precision=precision)
        for precision in precisions
    ]
    return {
        "reference": {
            **{f"sleep_{phase}": seconds for phase, seconds in SLEEPS_S.items()},
            "h2d": H2D_S,
            "gemm": dict(GEMM),
            "copy": COPY,
            "convnet": CONVNET,
            "resnet18_bf16": RESNET,
            "convnet_kernel_s": sum(KERNELS.values()),
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
    """Writes a record as check.sh does, without the parts that are `None`."""
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
        if stage == "prof":
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


# --- errors in the record ------------------------------------------------------------------------


def put(value: Any, *path: Any) -> Change:
    """A change that sets a value at a path in the record."""

    def change(record: Record) -> None:
        *parents, last = path
        for name in parents:
            record = record[name]
        record[last] = value

    return change


def times(factor: float, *path: Any) -> Change:
    """A change that multiplies a figure, or each lap of a phase, by a factor."""

    def change(record: Record) -> None:
        value: Any = record
        for name in path:
            value = value[name]
        scaled = [factor * x for x in value] if isinstance(value, list) else factor * value
        put(scaled, *path)(record)

    return change


def slow_laps(record: Record) -> None:
    """Taking laps costs 3 % of a step."""
    for file in (record["truth"][FAST], record["big"][FP32]):
        for block in file["blocks"]:
            block["elapsed_s"] *= 1.03 if block["kind"] == "lapped" else 1.0


def crashed(record: Record) -> None:
    file = record["big"][TF32]
    record["big"][TF32] = synthetic.failed_file(file["case"], "crashed", "ended by signal 11")


def pairs(count: int, **changes: float) -> Change:
    return put([synthetic_check.entry(n, changes) for n in range(1, count + 1)], "pairs")


def failed_pair(record: Record) -> None:
    record["pairs"].append(synthetic_check.failed("head", "it ran out of memory"))


def wrong(what: str, change: Change, *broken: str) -> Any:
    """An error in the record: the change that makes it, and the claims that it breaks."""
    return pytest.param(change, set(broken), id=what)


REAL, BIG = ([file["id"] for file in correct_record()[stage]] for stage in ("real", "big"))
FAST_DEVICE, FAST_HOST, SLOW_DEVICE, SLOW_HOST = (
    ("truth", number, "laps", clock) for number in (FAST, SLOW) for clock in ("device", "host")
)
FAST_NOISE = ("truth", FAST, "noise", "blocks")
PRODUCTS = ("machine_peaks", "matmul_flops_per_s")
PEAK = ("memory", "device_peak_allocated_bytes")
PLAIN_STEP = ("loader", "unloaded_step_s")
BIG_LAPS = ("big", BF16, "laps", "device")
WRONG_LAPS = [
    wrong(
        "a forward lap", times(1.05, *FAST_DEVICE, "forward"), "known work: device lap of forward"
    ),
    wrong(
        "an optimizer lap",
        times(0.95, *FAST_DEVICE, "optimizer"),
        "known work: device lap of optimizer",
    ),
    wrong("a transfer", times(1.2, *FAST_DEVICE, "transfer"), "known work: transfer of 64 MiB"),
    wrong(
        "a host that waits",
        put([0.002] * STEPS, *FAST_HOST, "forward"),
        "known work: the host does not wait",
    ),
    wrong(
        "a device that starves",
        put([0.001] * STEPS, *FAST_DEVICE, "dataload"),
        "known work: the device does not starve",
    ),
    wrong(
        "laps that cost",
        slow_laps,
        "known work: lapped / bare",
        f"resnet18: {BIG[FP32]}: laps cost nothing",
    ),
    wrong(
        "a missing clock",
        put(None, *FAST_NOISE, 0, "clock_hz"),
        "known work: NVML reports the clock",
    ),
    wrong("no noise of blocks", put([], *FAST_NOISE), "known work: NVML reports the clock"),
    wrong("a loader", times(1.1, *SLOW_HOST, "dataload"), "slow loader: the loader's time"),
    wrong("starvation", times(0.9, *SLOW_DEVICE, "dataload"), "slow loader: starvation"),
    wrong("no oom", put("error", "truth", GREEDY, "status"), "out of memory: it is reported"),
    wrong("backward by hand", times(1.2, *BIG_LAPS, "backward"), "resnet18 by hand: backward"),
    wrong(
        "graphs that are slower",
        times(3, "real", GRAPHS, "laps", "device", "step"),
        "CUDA graphs: they are faster",
    ),
]
WRONG_FIGURES = [
    wrong(
        "TF32 for fp32",
        put(GEMM["tf32"], *PRODUCTS, "fp32"),
        "machine peaks: fp32, TFLOP/s",
        "machine peaks: fp32 is not TF32",
    ),
    wrong(
        "half a bf16",
        times(0.5, *PRODUCTS, "bf16"),
        "machine peaks: bf16, TFLOP/s",
        "machine peaks: bf16 is a Hopper's",
    ),
    wrong("no fp16", put(None, *PRODUCTS, "fp16"), "machine peaks: fp16, TFLOP/s"),
    wrong(
        "half a copy", times(0.5, "machine_peaks", "copy_bytes_per_s"), "machine peaks: copy, GB/s"
    ),
    wrong("a plain step", times(1.1, "real", OFF, *PLAIN_STEP), "convnet by hand: plain step"),
    wrong("no plain step", put(None, "big", BF16, *PLAIN_STEP), "resnet18 by hand: plain step"),
    wrong("a peak", times(2, "real", OFF, *PEAK), "convnet by hand: peak bytes"),
    wrong("a crash", crashed, f"resnet18: {BIG[TF32]}: laps cost nothing"),
    wrong(
        "a damaged file",
        put([], "real", DEFAULT, "blocks"),
        "convnet: its files can be read",
        f"convnet: {REAL[DEFAULT]}: laps cost nothing",
        f"convnet: {REAL[DEFAULT]}: parity",
    ),
    wrong(
        "failed parity", put("fail", "parity", REAL[DEFAULT]), f"convnet: {REAL[DEFAULT]}: parity"
    ),
    wrong("no parity", put(None, "parity", BIG[FP32]), f"resnet18: {BIG[FP32]}: parity"),
    wrong("kernel time", times(1.5, "kernels", "backward"), "profile: kernel time per step"),
    wrong("no kernels", put(0.0, "kernels", "transfer"), "profile: each phase has kernels"),
]
WRONG_PAIRS = [
    wrong("no slowdown", pairs(6), "gate: step, share of step", "gate: backward, share of step"),
    wrong(
        "a slowdown of another phase",
        pairs(6, forward=SLOWER),
        "gate: forward, share of step",
        "gate: backward, share of step",
    ),
    wrong("few pairs", pairs(4, backward=SLOWER), "gate: pairs"),
    wrong("a pair that fails", failed_pair, "gate: no pair fails"),
]


# --- tests ---------------------------------------------------------------------------------------


@pytest.fixture
def record() -> Record:
    return correct_record()


def failed(directory: Path) -> list[str]:
    """The claims that fail; no claim may be made twice."""
    claims = list(JUDGE["all_claims"](directory))
    assert len({claim.what for claim in claims}) == len(claims)
    return [claim.what for claim in claims if not claim.ok]


def test_a_correct_record_passes_every_claim(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert JUDGE["main"](write(record, tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("PASS ") for line in lines)
    assert {line.removeprefix("PASS ").split(":")[0] for line in lines} == PARTS


@pytest.mark.parametrize(("change", "broken"), [*WRONG_LAPS, *WRONG_FIGURES, *WRONG_PAIRS])
def test_an_error_fails_the_claims_that_it_breaks(
    record: Record, tmp_path: Path, change: Change, broken: set[str]
) -> None:
    change(record)
    assert set(failed(write(record, tmp_path))) == broken


@pytest.mark.parametrize(
    ("stage", "parts"),
    [
        ("reference", PARTS),
        ("truth", {"known work", "slow loader", "out of memory"}),
        ("real", {"machine peaks", "convnet by hand", "convnet", "CUDA graphs"}),
        ("big", {"resnet18 by hand", "resnet18"}),
        ("prof", {"profile"}),
        ("pairs", {"gate"}),
    ],
)
def test_missing_results_of_a_stage_fail(
    record: Record, tmp_path: Path, stage: str, parts: set[str]
) -> None:
    record[stage] = None
    assert set(failed(write(record, tmp_path))) == {f"{part}: cannot be judged" for part in parts}


def test_a_run_without_the_known_cases_fails(record: Record, tmp_path: Path) -> None:
    record["truth"], record["pairs"] = [], []
    parts = ("known work", "slow loader", "out of memory", "gate")
    assert set(failed(write(record, tmp_path))) == {f"{part}: cannot be judged" for part in parts}


def test_a_run_without_cases_fails(record: Record, tmp_path: Path) -> None:
    record["big"] = []
    assert "resnet18: it has cases" in failed(write(record, tmp_path))


def test_a_failure_is_reported_with_numbers_and_by_the_exit_code(
    record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times(1.05, *FAST_DEVICE, "forward")(record)
    record["pairs"] = None
    assert JUDGE["main"](write(record, tmp_path)) == 1
    lines = capsys.readouterr().out.splitlines()
    lap, gate = (line for line in lines if not line.startswith("PASS "))
    assert lap == "FAIL known work: device lap of forward 0.0021 expected 0.002"
    assert gate.startswith("FAIL gate: cannot be judged ReportError(")
