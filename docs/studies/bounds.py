"""Is a step bound by what the report says, and does lifting that bound give what it predicts?

`bound_workloads.py` holds workloads that are each bound by one thing, and the same with that bound
lifted. A real run measures all of them; shown is what the report says of each bound one, and what
the lifted one then took.

Writes `bounds.md` beside itself: `nox -s study -- bounds`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

import stepbench_reports
from stepbench.machine import cpu_name, packages, usable_cores

WORKLOADS = Path(__file__).with_name("bound_workloads.py")
EXPECTED = {
    "data": "data",
    "compute": "compute",
    "launch": "launch overhead",
    "optimizer": "optimizer",
}
"""By workload, what it is bound by."""
MOST_OFF = 0.15


def measured(scratch: Path) -> pd.DataFrame:
    """The cases of a run of all the workloads."""
    names = [name for pair in EXPECTED for name in (pair, f"{pair}_lifted")]
    specs = [f"{WORKLOADS}:{name}" for name in names]
    place = scratch / "run"
    subprocess.run(
        [
            sys.executable, "-m", "stepbench", "run", "--workload", *specs, "--batch-size", "32",
            "--num-workers", "0", "--compile", "off", "--device", "cpu", "--max-time", "4",
            "--no-parity", "--output", str(place), "-q",
        ],
        check=True,
    )  # fmt: skip
    return stepbench_reports.load(place).cases.set_index("workload")


def main() -> None:
    """Runs the study and writes its table."""
    with tempfile.TemporaryDirectory() as scratch:
        cases = measured(Path(scratch))
    rows, met = [], True
    for name, expected in EXPECTED.items():
        bound, lifted = cases.loc[f"{WORKLOADS}:{name}"], cases.loc[f"{WORKLOADS}:{name}_lifted"]
        step_s = 32 / bound["samples_per_s"]
        lifted_s = 32 / lifted["samples_per_s"]
        # What cannot be lifted to nothing: the batch still has to be collated, for one.
        off = (lifted_s - bound["best_step_s"]) / step_s
        right = str(bound["bound"]) == expected
        met = met and right and bool(-MOST_OFF < off < MOST_OFF)
        rows.append(
            f"| {name} | {bound['bound']} ({bound['bound_share']:.0%}) | {step_s * 1e3:.2f} "
            f"| {bound['best_step_s'] * 1e3:.2f} | {lifted_s * 1e3:.2f} | {off:+.1%} |"
        )
    text = f"""# Bounds

Each workload is built to be bound by one thing; the report's own words for it are in the second
column, with the share of the step that it takes. The third and fourth are the step as it is and the
best that it could become if that bound were lifted, by the report. The fifth is what the same
workload takes with the bound lifted in fact: items in memory instead of a millisecond to load each,
no arithmetic, no small operators, an optimizer that does nothing.

| workload | bound by | step, ms | at best, ms | lifted, ms | off by, of the step |
| --- | --- | ---: | ---: | ---: | ---: |
{chr(10).join(rows)}

{cpu_name()}, {usable_cores()} cores; torch {packages()["torch"]}. Repeat it with
`nox -s study -- bounds`.
"""
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    print("the aims are met" if met else "THE AIMS ARE NOT MET")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
