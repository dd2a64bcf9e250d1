"""Do several runs of the default matrix agree on a speed-up?

Each run is `stepbench run` without options, as a new user types it. The comparison of
`torch.compile` with eager at batch size 4 without workers has an interval in each; intervals that
hold the same truth have a common point.

Rows are added to `matrices.jsonl` in the same directory, so that the study can be taken in parts:
`nox -s study -- matrices`, or `python docs/studies/matrices.py --runs 3`. Each invocation also
writes the table, `matrices.md`, from all rows.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rows import add, stored

import stepbench_reports
from stepbench.machine import cpu_name, packages, usable_cores

HERE = Path(__file__).parent
ROWS = HERE / "matrices.jsonl"
RUNS, AIM = 10, 8
EAGER, COMPILED = "convnet-cpu-b4-w0-off-fp32", "convnet-cpu-b4-w0-default-fp32"


def measure() -> dict[str, Any]:
    """Takes one run of the default matrix, and returns its row."""
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "run"
        command = [sys.executable, "-m", "stepbench", "run", "--output", str(directory)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        elapsed_s = time.perf_counter() - began_s
        run = stepbench_reports.load(directory)
        speedup = run.ratio(COMPILED, EAGER)
    return {
        "value": speedup.value,
        "low": speedup.low,
        "high": speedup.high,
        "marked": sum(m.interference for m in run.measurements),
        "cases": len(run.measurements),
        "elapsed_s": elapsed_s,
        "cpu": cpu_name(),
    }


def most_in_common(rows: Sequence[dict[str, Any]]) -> int:
    """The largest number of intervals that have a common point, which is the lower end of one."""
    return max(
        (sum(row["low"] <= point["low"] <= row["high"] for row in rows) for point in rows),
        default=0,
    )


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page."""
    lines = [
        f"| {number} | {row['value']:.3f} | {row['low']:.3f} to {row['high']:.3f} "
        f"| {row['marked']} of {row['cases']} | {row['elapsed_s']:.0f} | {row['cpu']} |"
        for number, row in enumerate(rows, 1)
    ]
    common = most_in_common(rows)
    verdict = "passes" if common >= AIM and len(rows) >= RUNS else "does not pass"
    return f"""# Default matrices

Each row is a run of the default matrix, `stepbench run` without options. The ratio is that of
samples/s with `torch.compile` to eager, at batch size 4 without workers, with its 95 % interval.
Of {len(rows)} intervals {common} have a common point. Asked are {AIM} of {RUNS}: {verdict}.

| run | ratio | 95 % interval | cases marked for interference | s | processor |
| ---: | ---: | ---: | ---: | ---: | --- |
{chr(10).join(lines)}

{usable_cores()} cores, shared; torch {packages()["torch"]}. The rows are in `matrices.jsonl`.
Repeat it with `nox -s study -- matrices`.
"""


def main() -> None:
    """Takes the runs that are missing, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="the runs in all")
    wanted = parser.parse_args().runs
    rows = stored(ROWS)
    while len(rows) < wanted:
        rows.append(measure())
        add(ROWS, rows[-1:])
        print(f"{len(rows)} of {wanted}: {rows[-1]}", flush=True)
    (HERE / "matrices.md").write_text(page(rows))
    print(page(rows))


if __name__ == "__main__":
    main()
