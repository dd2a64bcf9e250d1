"""The judge passes a right record, and fails exactly the criterion whose figure is wrong.

A change makes one figure of the record of `right_record` wrong, or takes it away.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import judge
import pytest
from criteria import CRITERIA
from right_record import (
    BF16,
    DEFAULT,
    FAST,
    FP32,
    GEMM,
    GREEDY,
    KERNELS,
    OFF,
    SLEEPS_S,
    SLOW,
    SLOWER,
    STEPS,
    TF32,
    Record,
    correct_record,
    write,
)

from support import synthetic, synthetic_check

Change = Callable[[Record], None]

NAMES = [criterion.name for criterion in CRITERIA]


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


def bare_s(factor: float, stage: str, number: int, kinds: tuple[str, ...]) -> Change:
    """A change that multiplies the time of a case's turns of some kinds."""

    def change(record: Record) -> None:
        file = record[stage][number]
        for turn in (*file["blocks"], *file["turns"]):
            turn["elapsed_s"] *= factor if turn["kind"] in kinds else 1.0

    return change


def failed_case(stage: str, number: int, status: str, reason: str) -> Change:
    def change(record: Record) -> None:
        file = record[stage][number]
        record[stage][number] = synthetic.failed_file(file["case"], status, reason)

    return change


def pairs(count: int, **changes: float) -> Change:
    return put([synthetic_check.entry(n, changes) for n in range(1, count + 1)], "pairs")


def failed_pair(record: Record) -> None:
    record["pairs"].append(synthetic_check.failed("head", "it ran out of memory"))


REAL, BIG = ([file["id"] for file in correct_record()[stage]] for stage in ("real", "big"))
MODES, PRECISIONS = ("off", "default", "reduce-overhead"), ("fp32", "tf32", "bf16")
CASES = {
    **{f"convnet, compile {mode}": ("real", n, REAL[n]) for n, mode in enumerate(MODES)},
    **{f"resnet18, {name}": ("big", n, BIG[n]) for n, name in enumerate(PRECISIONS)},
}
PRODUCTS = ("machine_peaks", "matmul_flops_per_s")
PEAK = ("memory", "device_peak_allocated_bytes")
UNLOADED = ("loader", "unloaded_step_s")
GATE = "regression check, a tenth more backward: change of"


def fast(clock: str, phase: str) -> tuple[Any, ...]:
    """The place of a phase's laps in the case `fast`."""
    return "truth", FAST, "laps", clock, phase


WRONG: dict[str, Change] = {
    "device lap of a known sleep: forward": times(1.03, *fast("device", "forward")),
    "device lap of a known sleep: backward": times(1.03, *fast("device", "backward")),
    "device lap of a known sleep: optimizer": times(0.97, *fast("device", "optimizer")),
    "device lap of a known transfer": times(1.2, *fast("device", "transfer")),
    **{
        f"the host only queues: host's lap / device's lap, {phase}": put(
            [seconds] * STEPS, *fast("host", phase)
        )
        for phase, seconds in SLEEPS_S.items()
    },
    "slow loader: wait on the host's clock": times(1.1, "truth", SLOW, "laps", "host", "dataload"),
    "slow loader: starvation on the device's clock": times(
        0.9, "truth", SLOW, "laps", "device", "dataload"
    ),
    "fast loader: starvation, share of the step": put([0.001] * STEPS, *fast("device", "dataload")),
    **{
        f"peak throughput: products in {precision}": times(0.8, *PRODUCTS, precision)
        for precision in GEMM
    },
    "peak throughput: copy": times(1.2, "machine_peaks", "copy_bytes_per_s"),
    "samples/s: convnet with its loader": bare_s(1.1, "real", OFF, ("bare", "lapped")),
    "samples/s: resnet18 in bf16 on one batch": times(0.9, "big", BF16, *UNLOADED),
    "peak memory: resnet18 in bf16": times(2, "big", BF16, *PEAK),
    "lapped / bare: known work": bare_s(1.03, "truth", FAST, ("lapped",)),
    **{
        f"lapped / bare: {name}": bare_s(1.03, stage, number, ("lapped",))
        for name, (stage, number, _) in CASES.items()
    },
    **{f"parity: {name}": put("fail", "parity", case) for name, (_, _, case) in CASES.items()},
    "out of memory is told": failed_case("truth", GREEDY, "error", "CUDA error | of some kind"),
    **{
        f"kernel time by torch.profiler: {phase}": times(1.2, "kernels", phase) for phase in KERNELS
    },
    # Changes of phases add up to the change of the step.
    f"{GATE} step": pairs(6, backward=SLOWER, dataload=0.01),
    f"{GATE} forward": pairs(6, backward=SLOWER, forward=0.01, dataload=-0.01),
    f"{GATE} backward": pairs(6, backward=SLOWER - 0.01, dataload=0.01),
    f"{GATE} optimizer": pairs(6, backward=SLOWER, optimizer=-0.006, dataload=0.006),
}
"""A wrong figure for each criterion."""
KNOWN = [name for name in NAMES if "known" in name or "the host only" in name or "fast" in name]
PEAKS = [name for name in NAMES if name.startswith("peak throughput")]
GATES = [name for name in NAMES if name.startswith("regression")]
KERNEL_TIMES = [name for name in NAMES if name.startswith("kernel time")]
STARVED = "slow loader: starvation on the device's clock"
MISSING: list[tuple[str, Change, list[str]]] = [
    (
        "a sleep by hand",
        put(None, "reference", "sleeps", "forward"),
        ["device lap of a known sleep: forward", STARVED, f"{GATE} step", f"{GATE} backward"],
    ),
    (
        "the transfer by hand",
        put(None, "reference", "h2d"),
        ["device lap of a known transfer", STARVED, f"{GATE} step", f"{GATE} backward"],
    ),
    (
        "the slow batch by hand",
        put(None, "reference", "slow_batch"),
        ["slow loader: wait on the host's clock"],
    ),
    (
        "a product by hand",
        put(None, "reference", "gemm", "tf32"),
        ["peak throughput: products in tf32"],
    ),
    ("a product", put(None, *PRODUCTS, "bf16"), ["peak throughput: products in bf16"]),
    (
        "the loop by hand",
        put(None, "reference", "convnet"),
        ["samples/s: convnet with its loader"],
    ),
    (
        "a step on one batch",
        put(None, "big", BF16, *UNLOADED),
        ["samples/s: resnet18 in bf16 on one batch"],
    ),
    ("the peak memory", put(None, "big", BF16, *PEAK), ["peak memory: resnet18 in bf16"]),
    ("parity", put(None, "parity", REAL[DEFAULT]), ["parity: convnet, compile default"]),
    (
        "a verdict on parity",
        put("undecided", "parity", BIG[FP32]),
        ["parity: resnet18, fp32"],
    ),
    (
        "a case",
        failed_case("big", TF32, "crashed", "ended by signal 11"),
        ["lapped / bare: resnet18, tf32", "parity: resnet18, tf32"],
    ),
    ("the profile", put(None, "kernels"), KERNEL_TIMES),
    ("a pair", failed_pair, GATES),
    ("enough pairs", pairs(4, backward=SLOWER), GATES),
    (
        "the known cases",
        put([], "truth"),
        [*KNOWN, *(name for name in NAMES if "slow loader" in name or "out of" in name)],
    ),
    ("the regression check", put(None, "pairs"), GATES),
    ("the stage profile", put(None, "prof"), KERNEL_TIMES),
]
"""Results that are missing, and the criteria that need them."""


# --- tests ---------------------------------------------------------------------------------------


@pytest.fixture
def record() -> Record:
    return correct_record()


def rows(record: Record, directory: Path) -> dict[str, judge.Row]:
    """The judge's rows by criterion."""
    return {row.name: row for row in judge.judge_all(write(record, directory))}


def test_a_right_record_passes_every_criterion(record: Record, tmp_path: Path) -> None:
    judged = rows(record, tmp_path)
    assert {name: row.reason for name, row in judged.items() if row.result != judge.PASS} == {}
    assert list(judged) == NAMES
    assert len(set(NAMES)) == len(NAMES)
    assert judge.exit_code(list(judged.values())) == 0


def test_every_criterion_is_tried_with_a_wrong_figure() -> None:
    assert sorted(WRONG) == sorted(NAMES)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_figure_fails_its_criterion_alone(
    record: Record, tmp_path: Path, name: str
) -> None:
    WRONG[name](record)
    judged = rows(record, tmp_path)
    assert {row.name: row.result for row in judged.values() if row.result != judge.PASS} == {
        name: judge.FAIL
    }
    assert judge.exit_code(list(judged.values())) == 1


@pytest.mark.parametrize(
    ("change", "names"), [pytest.param(*missing, id=what) for what, *missing in MISSING]
)
def test_a_missing_figure_is_not_measured_and_does_not_pass(
    record: Record, tmp_path: Path, change: Change, names: list[str]
) -> None:
    change(record)
    judged = rows(record, tmp_path)
    left = [row for row in judged.values() if row.result != judge.PASS]
    assert {row.name for row in left} == set(names)
    assert {row.result for row in left} == {judge.NOT_MEASURED}
    assert all(row.reason for row in left)
    assert judge.exit_code(list(judged.values())) == 1


def test_without_any_result_nothing_is_measured(tmp_path: Path) -> None:
    judged = judge.judge_all(tmp_path)
    assert {row.result for row in judged} == {judge.NOT_MEASURED}
    assert "the stage truth was not run" in judged[0].reason


def test_the_table_says_how_a_stage_ended_and_why_a_part_failed(
    record: Record, tmp_path: Path
) -> None:
    record["prof"] = None
    record["reference"]["gemm"] = None
    record["reference"]["errors"]["gemm"] = "RuntimeError('no | memory')"
    outcome = {"profile": {"outcome": "was ended at its limit of 45 s"}}
    (tmp_path / "stages.json").write_text(json.dumps(outcome))
    table = judge.table(list(rows(record, tmp_path).values())).splitlines()
    assert {line.count(" | ") for line in table} == {4}
    kernels = [line for line in table if line.startswith("| kernel time")]
    assert all("not measured**: the stage profile was ended at its limit" in k for k in kernels)
    assert sum("RuntimeError('no / memory')" in line for line in table) == len(GEMM)


def test_the_table_shows_both_figures_in_their_unit(record: Record, tmp_path: Path) -> None:
    times(1.05, *fast("device", "forward"))(record)
    row = rows(record, tmp_path)["device lap of a known sleep: forward"]
    assert row.cells[1:] == ("4.2 ms", "4 ms", "within 2%", judge.FAIL)


def test_the_study_lists_the_criteria_and_their_bounds() -> None:
    page = Path(__file__).parents[2] / "docs" / "studies" / "gpu.md"
    lines = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    listed = [(cells[0].removeprefix("| "), cells[3]) for cells in lines[2:]]
    assert listed == [(criterion.name, criterion.bound.text) for criterion in CRITERIA]
