"""Does the report find the bottleneck of a step, and predict the step without it?

`bottleneck_workloads.py` has workloads with one bottleneck each, and the same workloads with the
bottleneck removed. A run measures all of them. The study compares what the report says of each
workload with the measured step after the bottleneck was removed.

Writes `bottlenecks.md` in the same directory: `nox -s study -- bottlenecks`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

import stepbench_reports
from stepbench.machine import cpu_name, packages, usable_cores

WORKLOADS = Path(__file__).with_name("bottleneck_workloads.py")
EXPECTED = {
    "data": "data",
    "compute": "compute",
    "launch": "launch overhead",
    "optimizer": "optimizer",
}
"""The bottleneck of each workload."""
MAX_ERROR = 0.15
"""The aim: the largest error of a predicted step, as a share of the measured step."""


def measured(scratch: Path) -> pd.DataFrame:
    """Measures all workloads; returns a row per case."""
    names = [name for base in EXPECTED for name in (base, f"{base}_removed")]
    specs = [f"{WORKLOADS}:{name}" for name in names]
    directory = scratch / "run"
    subprocess.run(
        [
            sys.executable, "-m", "stepbench", "run", "--workload", *specs, "--batch-size", "32",
            "--num-workers", "0", "--compile", "off", "--device", "cpu", "--no-parity",
            "--output", str(directory), "-q",
        ],
        check=True,
    )  # fmt: skip
    return stepbench_reports.load(directory).cases.set_index("workload")


def main() -> None:
    """Runs the study and writes its table."""
    with tempfile.TemporaryDirectory() as scratch:
        cases = measured(Path(scratch))
    rows, met = [], True
    for name, expected in EXPECTED.items():
        case = cases.loc[f"{WORKLOADS}:{name}"]
        step_s = 32 / case["samples_per_s"]
        predicted_s = case["best_step_s"]
        removed_s = 32 / cases.loc[f"{WORKLOADS}:{name}_removed"]["samples_per_s"]
        # Not every cost can be removed completely: for example, batches are still collated.
        error = (removed_s - predicted_s) / step_s
        correct = str(case["bottleneck"]) == expected
        met = met and correct and bool(-MAX_ERROR < error < MAX_ERROR)
        rows.append(
            f"| {name} | {case['bottleneck']} ({case['bottleneck_share']:.0%}) "
            f"| {step_s * 1e3:.2f} | {predicted_s * 1e3:.2f} | {removed_s * 1e3:.2f} "
            f"| {error:+.1%} |"
        )
    text = f"""# Bottlenecks

Each workload is built to have one bottleneck. The second column is the bottleneck that the report
names, with its share of the step. The third is the measured step, and the fourth the step that the
report predicts without the bottleneck. The fifth is the measured step of the same workload with the
bottleneck removed: items in memory instead of a millisecond to load each, no arithmetic, no small
operators, an optimizer that does nothing.

| workload | bottleneck | step, ms | predicted, ms | removed, ms | error, of the step |
| --- | --- | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. Repeat it with
`nox -s study -- bottlenecks`.
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    print("All aims are met." if met else "AN AIM IS NOT MET.")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
