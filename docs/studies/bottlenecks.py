"""Does the report find the bottleneck of a step, and predict the gain of removing it?

Each part of the study is a run of two cases, which take turns: a case with a bottleneck, and the
same with the bottleneck removed, or with the change that the report predicts the gain of.
`bottleneck_workloads.py` has the workloads. A row compares the predicted gain with the actual one,
the ratio of both cases.

Rows are added to `bottlenecks.jsonl` in the same directory, so that the study can be taken in
parts: `nox -s study -- bottlenecks`, or `python docs/studies/bottlenecks.py --parts burn --runs 1`.
Each invocation also writes the table, `bottlenecks.md`, from all rows.
"""

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rows import add, stored

import stepbench_reports
from stepbench.machine import cpu_name, packages, usable_cores
from stepbench_reports.analysis.bottleneck import Bottleneck
from stepbench_reports.analysis.stats import Interval
from stepbench_reports.read.measurement import Measurement

HERE = Path(__file__).parent
WORKLOADS = HERE / "bottleneck_workloads.py"
RUNS = 2
"""The number of runs of each part."""
BATCH_SIZE = 32
MAX_ERROR = 0.25
"""The aim: the largest difference of the predicted gain from the actual one, as a share of it."""


@dataclass(frozen=True)
class Part:
    """A part of the study.

    Attributes:
        change: The change between the two cases, in words.
        expected: The bottleneck of the first case.
        workload: The workload of the first case.
        other: The workload of the second case.
        workers: The number of loader workers of each case.
        batch_sizes: The batch size of each case.
        left_out: The case of the matrix that cannot run, as `-k` takes it.
        predicted: The gain that the report predicts for the first case.
    """

    change: str
    expected: str
    workload: str
    other: str
    workers: tuple[int, int] = (0, 0)
    batch_sizes: tuple[int, int] = (BATCH_SIZE, BATCH_SIZE)
    left_out: str | None = None
    predicted: Callable[[Bottleneck], Interval] = lambda bottleneck: bottleneck.gain


WORKERS = "cores taken by loader workers"
PARTS = {
    "data": Part("batches are ready", "data", "data", "data_removed"),
    "waiting": Part(
        "batches are ready", "data", "data", "data_removed", (2, 0),
        left_out="data_removed and w2",  # there are no workers without a loader
    ),
    "burn": Part("items burn no core", WORKERS, "burn", "burn_removed", (2, 2)),
    "fewer": Part(
        "no workers", WORKERS, "burn", "burn", (2, 0), predicted=Bottleneck.gain_without_workers
    ),
    "compute": Part("no arithmetic", "compute", "compute", "compute_removed"),
    "fixed": Part("no small operators", "fixed cost", "fixed", "fixed_removed"),
    "batch": Part(
        "twice the batch size", "fixed cost", "fixed", "fixed",
        batch_sizes=(BATCH_SIZE, 2 * BATCH_SIZE), predicted=Bottleneck.gain_of_double_batch,
    ),
    "optimizer": Part("an optimizer that does nothing", "optimizer", "optimizer",
                      "optimizer_removed"),
}  # fmt: skip


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--runs", type=int, default=RUNS, help="the runs of each part in all")
    return parser.parse_args()


def measured(part: Part, directory: Path) -> tuple[Measurement, Measurement, Interval]:
    """Measures both cases of a part; returns them, and the actual gain."""
    axes = [
        {"workload": f"{WORKLOADS}:{name}", "num_workers": workers, "batch_size": batch_size}
        for name, workers, batch_size in zip(
            (part.workload, part.other), part.workers, part.batch_sizes, strict=True
        )
    ]
    chosen = [[str(value) for value in dict.fromkeys(case[axis] for case in axes)]
              for axis in ("workload", "num_workers", "batch_size")]  # fmt: skip
    subprocess.run(
        [
            sys.executable, "-m", "stepbench", "run", "--workload", *chosen[0],
            "--num-workers", *chosen[1], "--batch-size", *chosen[2], "--compile", "off",
            "--device", "cpu", "--no-parity", "--output", str(directory), "-q",
            *(("-k", f"not ({part.left_out})") if part.left_out else ()),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    run = stepbench_reports.load(directory)
    first, second = (
        next(m for m in run.measurements if all(m.axes.get(axis) == case[axis] for axis in case))
        for case in axes
    )
    return first, second, run.ratio_of(second, first).interval


def row(name: str) -> dict[str, Any]:
    """Takes one run of a part, and returns its comparison."""
    part = PARTS[name]
    with tempfile.TemporaryDirectory() as scratch:
        first, _, actual = measured(part, Path(scratch) / "run")
    bottleneck = first.bottleneck
    if bottleneck is None:
        raise RuntimeError(f"{name}: no bottleneck was found")
    predicted = part.predicted(bottleneck)
    return {
        "part": name,
        "kinds": [str(kind) for kind in bottleneck.kinds],
        "share": bottleneck.share,
        "step_s": bottleneck.step_s,
        **{f"predicted_{end}": value for end, value in ends(predicted).items()},
        **{f"actual_{end}": value for end, value in ends(actual).items()},
    }


def ends(interval: Interval) -> dict[str, float | None]:
    """An interval as JSON has it: an end that is unknown is `None`."""
    values = {"gain": interval.value, "low": interval.low, "high": interval.high}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def error(taken: dict[str, Any]) -> float:
    """The difference of a row's predicted gain from the actual one, as a share of the latter."""
    return float(taken["predicted_gain"] / taken["actual_gain"] - 1)


def met(taken: dict[str, Any]) -> bool:
    """True if a row names the expected bottleneck, and predicts the gain within the aim."""
    return PARTS[taken["part"]].expected in taken["kinds"] and abs(error(taken)) <= MAX_ERROR


def gain(taken: dict[str, Any], name: str) -> str:
    """A row's gain, with its interval if it has one."""
    low, high = taken[f"{name}_low"], taken[f"{name}_high"]
    span = "" if low is None or high is None else f" ({low:.2f}–{high:.2f})"
    return f"{taken[f'{name}_gain']:.2f}×{span}"


def table(rows: Iterable[dict[str, Any]]) -> str:
    """The table of all rows, in Markdown."""
    lines = [
        "| workload, workers | change | bottleneck | step, ms | predicted | actual | error | met |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for taken in sorted(rows, key=lambda taken: list(PARTS).index(taken["part"])):
        part = PARTS[taken["part"]]
        lines.append(
            f"| {part.workload}, {part.workers[0]} | {part.change} "
            f"| {' and '.join(taken['kinds'])} ({taken['share']:.0%}) "
            f"| {taken['step_s'] * 1e3:.2f} | {gain(taken, 'predicted')} "
            f"| {gain(taken, 'actual')} | {error(taken):+.0%} | {'yes' if met(taken) else 'no'} |"
        )
    return "\n".join(lines)


def text(rows: list[dict[str, Any]]) -> str:
    """The page."""
    return f"""# Bottlenecks

Each row is a run of two cases in turns: a workload that is built to have one bottleneck, and the
same after a change. The third column is the bottleneck that the report names, with its share of the
step. "Predicted" is the speed-up that the report gives from the first case alone, "actual" the
ratio of both cases' samples/s, each with its 95 % interval. In `burn` each item keeps a core busy,
so that two workers take the cores from forward and backward.

{table(rows)}

The aim: the bottleneck is found, and the predicted gain is within {MAX_ERROR:.0%} of the actual
one. It is met in {sum(map(met, rows))} of {len(rows)}. Not every cost can be removed completely:
batches are still collated, and operators on little data are still launched.

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. The rows are in
`bottlenecks.jsonl`. Repeat it with `nox -s study -- bottlenecks`.
"""


def main() -> None:
    """Takes the runs that are missing, and writes the table."""
    chosen = options()
    file = HERE / "bottlenecks.jsonl"
    rows = stored(file)
    for name in chosen.parts:
        done = sum(taken["part"] == name for taken in rows)
        for number in range(done, chosen.runs):
            rows.append(row(name))
            add(file, rows[-1:])
            print(f"{name}: {number + 1} of {chosen.runs}: {rows[-1]}", flush=True)
    (HERE / "bottlenecks.md").write_text(text(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
