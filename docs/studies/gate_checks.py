"""Whole regression checks with known answers, from the command line with default options.

Each row of `gate_checks.jsonl` is a check of the repository of `gate_repository.py`:

- `same`: identical sides; the check should not raise an alarm.
- `four`: identical sides, four cases.
- `spin`: head spins for 3 % of the step in forward; the check should find it.
- `large`: head spins for 15 % of the step in forward.
- `clone`: head has a needless `.clone()` in forward; the check should name the phase, the operator
  and the line.

The study can be taken in parts: `python docs/studies/gate_checks.py --parts same --checks 5`, and
beside a process that keeps one core busy with `--neighbour`. `gate.py` writes the report.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gate_repository
from gate_neighbour import BUSY_LOOP
from gate_repository import WORKLOAD, Dose
from rows import add, stored
from scipy import stats
from truth_record import print_progress, table

from stepbench.machine import cpu_name
from stepbench.regression import command
from stepbench_reports import regression
from stepbench_reports.regression import cause, culprit
from stepbench_reports.regression.attribution import attribute
from stepbench_reports.regression.decision import Decision, decide
from stepbench_reports.schema.check import EndFact
from stepbench_reports.schema.phases import STEP

HERE = Path(__file__).resolve().parent
DATA = HERE / "gate_checks.jsonl"
DOSES = {"same": 0.0, "four": 0.0, "spin": 0.03, "large": 0.15}
"""The part of a step for which head spins in forward, by part of the study."""
PARTS = (*DOSES, "clone")
BATCH_SIZES = {"four": ("64", "128", "256", "512"), "clone": ("16",)}
BATCH_SIZE = "256"


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--checks", type=int, default=1, help="the checks of each part in all")
    parser.add_argument(
        "--neighbour", action="store_true", help="beside a process that keeps one core busy"
    )
    return parser.parse_args()


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """Has a process keep one core busy while the context lasts."""
    core = min(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", BUSY_LOOP, str(core)]) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def check(part: str, scratch: Path, step_s: float, *, busy: bool) -> dict[str, Any]:
    """Takes one check, and returns its row.

    Args:
        part: The part of the study.
        scratch: A directory for the repository and the check.
        step_s: The duration of a step, seconds, of which head spins for a share.
        busy: True if a neighbour keeps one core busy.
    """
    repository = scratch / "repository"
    if part == "clone":
        gate_repository.make_blocks(repository)
        gate_repository.write_blocks(repository, clone=True)
    else:
        gate_repository.make(repository)
        gate_repository.write(repository, Dose(DOSES[part]), DOSES[part] * step_s)
    began_s = time.perf_counter()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "stepbench", "regression", "--base", "main"),
            *("--workload", WORKLOAD, "--batch-size", *BATCH_SIZES.get(part, (BATCH_SIZE,))),
            *("--num-workers", "0", "--compile", "off", "--device", "cpu"),
            *("--output", str(scratch / "check")),
        ],
        cwd=repository,
        # The check must import stepbench from this tree, also in another directory.
        env={**os.environ, "PYTHONPATH": str(Path(command.__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    elapsed_s = time.perf_counter() - began_s
    decision = decide(regression.load(scratch / "check"))
    if decision.fatal is not None or done.returncode not in {0, 1}:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    return {
        "part": part,
        "busy": busy,
        "exit": done.returncode,
        "outcome": str(decision.outcome),
        "elapsed_s": elapsed_s,
        **_row(decision),
        "cpu": cpu_name(),
    }


def _row(decision: Decision) -> dict[str, Any]:
    check = decision.check
    steps = [f for f in decision.findings if f.row.what == STEP and f.row.case in check.cases]
    found = culprit.culprits(decision)
    traced = attribute(decision, found[0].case) if found else None
    largest = traced.operators[0] if traced and traced.operators else None
    return {
        "import_s": sum(fact.import_s for fact in check.facts_of(EndFact)),
        "changes": [finding.change.value for finding in steps],
        "detectable": [finding.detectable for finding in steps],
        "step_s": steps[0].base_s,
        "phase": found[0].phases[0][0] if found and found[0].phases else None,
        "operator": largest.operator if largest else None,
        "line": cause.location(largest.line) if largest else None,
        "pairs": [
            {
                "case": pair.case,
                "server": pair.server,
                "stage": pair.stage,
                "interference": pair.interference,
                "base": {name: round(seconds, 9) for name, seconds in pair.base.items()},
                "head": {name: round(seconds, 9) for name, seconds in pair.head.items()},
            }
            for pair in check.pairs
        ],
    }


def main() -> None:
    """Takes the checks that are missing."""
    chosen = options()
    for part in chosen.parts:
        take(part, chosen.checks, busy=chosen.neighbour)


def take(part: str, count: int, *, busy: bool) -> None:
    """Takes checks until there are `count` rows of a part; `busy` runs them beside a neighbour."""
    taken = sum((r["part"], r["busy"]) == (part, busy) for r in stored(DATA))
    with neighbour() if busy else contextlib.nullcontext():
        for number in range(taken, count):
            row = _taken(part, busy=busy)
            add(DATA, [row])
            print_progress(
                f"{part}, {number + 1} of {count}: {row['outcome']}, {row['changes']}, "
                f"{row['elapsed_s']:.0f} s"
            )


def _taken(part: str, *, busy: bool) -> dict[str, Any]:
    """Takes a check; before the first one, another one tells how long a step takes."""
    steps_s = [
        r["step_s"]
        for r in stored(DATA)
        if r["busy"] == busy and r["part"] in {"same", "spin", "large"}
    ]
    with tempfile.TemporaryDirectory(prefix="stepbench-study-") as scratch:
        if not steps_s and DOSES.get(part):
            steps_s = [check("same", Path(scratch) / "first", 0.0, busy=busy)["step_s"]]
        return check(part, Path(scratch) / "taken", steps_s[-1] if steps_s else 0.0, busy=busy)


def section(taken: Sequence[dict[str, Any]]) -> str:
    """The section of the report on whole checks."""
    table_rows = [
        _summary(part, busy, of_part)
        for busy in (False, True)
        for part in PARTS
        if (of_part := [r for r in taken if (r["part"], r["busy"]) == (part, busy)])
    ]
    heads = [
        *("head", "machine", "checks", "found", "could not tell"),
        *("could have seen, median", "time less imports, median", "imports"),
    ]
    same = [r for r in taken if r["part"] in {"same", "four"}]
    if not same:
        return ""
    alarms = sum(r["outcome"] == "regression" for r in same)
    limit = stats.binomtest(alarms, len(same)).proportion_ci(method="exact").high
    live = (
        f"Checks from the command line with default options. Of {len(same)} checks of identical "
        f"sides, **{alarms} raised an alarm** (exact 95 % upper limit: {limit:.1%})."
    )
    causes = _causes([r for r in taken if r["part"] == "clone"])
    return "\n\n".join(("## Whole checks", live, table(heads, table_rows), *causes))


_HEADS = {
    "same": "identical",
    "four": "identical, four cases",
    "spin": "3 % in forward",
    "large": "15 % in forward",
    "clone": "a needless `.clone()` in forward",
}


def _summary(part: str, busy: bool, taken: Sequence[dict[str, Any]]) -> list[str]:
    found = sum(r["outcome"] == "regression" for r in taken)
    undecided = [r for r in taken if r["outcome"] == "undecided"]
    seen = [share for r in undecided for share in r["detectable"] if share is not None]
    return [
        _HEADS[part],
        "one core busy" if busy else "quiet",
        str(len(taken)),
        str(found),
        str(len(undecided)),
        f"{statistics.median(seen):.0%}" if seen else "",
        f"{statistics.median(r['elapsed_s'] - r['import_s'] for r in taken):.0f} s",
        f"{statistics.median(r['import_s'] for r in taken):.0f} s",
    ]


def _causes(taken: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The cost of the needless clone, and what the checks that found it name."""
    found = [r for r in taken if r["outcome"] == "regression"]
    if found:
        change = statistics.median(r["changes"][0] for r in found)
        named = [(r["phase"], r["operator"], r["line"]) for r in found]
        most = max(named, key=named.count)
        phase, operator, line = most
        yield (
            f"The clone costs {change:.1%} of the step (median). {named.count(most)} of the "
            f"{len(found)} checks that found it name {phase}, `{operator}` and `{line}`."
        )


if __name__ == "__main__":
    main()
