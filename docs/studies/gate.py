"""How often is the regression check wrong? Identical sides, known slowdowns, a busy neighbour.

Takes the whole checks of `gate_checks.py` that are missing, and measures two more parts, which are
stored in `gate.jsonl` in the same directory. Then replays many checks from these measurements, and
writes `gate.md`: `nox -s study -- gate` (four hours; nothing else should run). `python
docs/studies/gate.py checks` takes the whole checks alone, and `python docs/studies/gate.py report`
measures nothing.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gate_checks
import gate_live
import numpy as np
from gate_live import DOSES, PAIR_S
from gate_replay import RULES, Trial, alarms, consecutive, pair_of, relabelled, resampled
from gate_repository import Dose
from rows import add, stored
from truth_record import table

from stepbench.machine import cpu_name, packages, usable_cores
from stepbench_reports.regression.records import Pair
from stepbench_reports.schema.verdict import CheckOutcome

HERE = Path(__file__).resolve().parent
DATA = HERE / "gate.jsonl"
ROUNDS = 50
REPLAYS, TRIALS = 10_000, 2_000
TIGHT_DOSE = 0.03
TIGHT = 0.015
"""The aim: slowdowns of 3 % with at most this spread are detected in 95 of 100 checks."""
OUTCOMES = (CheckOutcome.REGRESSION, CheckOutcome.PASS, CheckOutcome.UNDECIDED)
MIN_TRIALS = 100
"""The minimum number of trials for a share to be shown."""
PARTS: Mapping[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    "doses": lambda scratch: gate_live.doses(scratch, ROUNDS),
    "neighbour": gate_live.neighbour,
}
KINDS = {"doses": "dose", "neighbour": "neighbour"}
CHECKS: Mapping[tuple[str, bool], int] = {
    ("same", False): 60,
    ("four", False): 5,
    ("spin", False): 20,
    ("clone", False): 5,
    ("same", True): 20,
    ("large", True): 10,
}
"""The number of whole checks by part and by whether a neighbour keeps a core busy."""


def main() -> None:
    """Measures the requested parts, and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    choices = ["checks", *PARTS, "report"]
    parser.add_argument("parts", nargs="*", choices=choices, default=["checks", *PARTS])
    for part in parser.parse_args().parts:
        if part in PARTS:
            _measure(part)
        elif part == "checks":
            for (kind, busy), count in CHECKS.items():
                gate_checks.take(kind, count, busy=busy)
    (HERE / "gate.md").write_text(_report())


def _measure(part: str) -> None:
    """Measures a part; its measurements replace older ones."""
    others = [line for line in stored(DATA) if line["kind"] != KINDS[part]]
    DATA.unlink(missing_ok=True)
    add(DATA, others)
    with tempfile.TemporaryDirectory(prefix="stepbench-study-") as scratch:
        for entry in PARTS[part](Path(scratch)):
            add(DATA, [{**entry, "cpu": cpu_name()}])


def _machines(lines: Sequence[dict[str, Any]]) -> str:
    """The processors on which the parts were measured."""
    of_part = {
        part: {line["cpu"] for line in lines if line["kind"] == kind}
        for part, kind in KINDS.items()
    }
    by_cpu: dict[str, list[str]] = {}
    for part, names in of_part.items():
        for name in sorted(names):
            by_cpu.setdefault(name, []).append(part)
    return "; ".join(f"{', '.join(parts)} on {name}" for name, parts in by_cpu.items())


def _share(number: int, count: int) -> str:
    return f"{number / count:.1%}" if count else "none"


def _report() -> str:
    lines, checks = stored(DATA), stored(gate_checks.DATA)
    by_kind = {kind: [line for line in lines if line["kind"] == kind] for kind in KINDS.values()}
    footer = (
        f"{usable_cores()} cores: {_machines(lines)}; torch {packages().get('torch')}. Repeat it "
        f"with `nox -s study -- gate`; the measurements are in `gate.jsonl`."
    )
    parts = [
        "# The regression check: false alarms, and detected slowdowns",
        gate_checks.section(checks),
        _replays([row for row in checks if row["part"] == "same" and not row["busy"]]),
        _doses(by_kind["dose"]),
        _neighbours(by_kind["neighbour"]),
        _peers(by_kind["dose"]),
        footer,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _replays(checks: Sequence[dict[str, Any]]) -> str:
    if not checks:
        return ""
    pairs = _in_order(checks)
    steps = np.array([pair.changes["step"] for pair in pairs if not pair.interference])
    rows = []
    for cases in (1, 4):
        trials = relabelled(pairs, REPLAYS, cases)
        wrong = sum(t.outcome is CheckOutcome.REGRESSION for t in trials)
        undecided = sum(t.outcome is CheckOutcome.UNDECIDED for t in trials)
        mean = np.mean([t.pairs for t in trials])
        rows.append(
            [
                *(f"{cases}", f"{len(trials):,}", f"{wrong}", _share(wrong, len(trials))),
                *(_share(undecided, len(trials)), f"{mean:.1f}"),
            ]
        )
    replays = (
        f"Checks replayed from the {len(pairs)} pairs of the {len(checks)} checks of identical "
        f"sides on the quiet machine, in recorded order from a random start, with the sides of "
        f"each pair swapped at random. The spread of a pair's step is {steps.std(ddof=1):.1%}."
    )
    heads = ["cases", "checks", "alarms", "share", "could not tell", "pairs per case, mean"]
    return "\n\n".join(["## Replays", replays, table(heads, rows)])


def _in_order(checks: Sequence[dict[str, Any]]) -> list[Pair]:
    """The pairs of checks in recorded order."""
    return [pair_of(pair) for check in checks for pair in check["pairs"]]


def _of(lines: Sequence[dict[str, Any]], dose: Dose) -> list[dict[str, Any]]:
    return [line for line in lines if (line["share"], line["phase"]) == (dose.share, dose.phase)]


def _doses(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    rows = []
    claim = ""
    for dose in DOSES:
        pairs = [pair_of(line) for line in _of(lines, dose)]
        valid = [pair for pair in pairs if not pair.interference]
        changes = np.array([pair.changes["step"] for pair in valid])
        in_order, sampled = consecutive(pairs), resampled(pairs, TRIALS)
        rows.append(
            [
                f"{dose.share:.0%} in {dose.phase}" if dose.share else "none",
                *(f"{np.median(changes):+.1%}", f"{changes.std(ddof=1):.1%}"),
                f"{len(valid)} of {len(pairs)}",
                *(_detected(in_order, dose), _detected(sampled, dose)),
                f"{np.mean([t.pairs for t in sampled]):.0f}",
            ]
        )
        if dose.share == TIGHT_DOSE:
            claim = _tight(sampled)
    method = (
        f"One phase spins for a share of the step; {PAIR_S:g} s of turns per pair. Checks are "
        f"replayed in recorded order, each pair in one check, and {TRIALS:,} times from pairs "
        f"sampled with replacement. What is not decided is a miss. In "
        f"brackets: the detections that name another phase."
    )
    heads = [
        *("slowdown", "measured", "spread", "valid pairs", "detected, in order"),
        *("detected, sampled", "pairs per check"),
    ]
    parts = ["## Slowdowns in head", method, table(heads, rows), claim]
    return "\n\n".join(part for part in parts if part)


def _tight(sampled: Sequence[Trial]) -> str:
    tight = [t for t in sampled if t.spread <= TIGHT]
    if len(tight) < MIN_TRIALS:
        return (
            f"{len(tight)} of the {len(sampled):,} sampled checks of 3 % had a spread of at most "
            f"{TIGHT:.1%}: too few for a claim."
        )
    detected = sum(t.outcome is CheckOutcome.REGRESSION for t in tight)
    return (
        f"{len(tight):,} of the {len(sampled):,} sampled checks of 3 % had a spread of at most "
        f"{TIGHT:.1%}: {_share(detected, len(tight))} of these detected it."
    )


def _detected(trials: Sequence[Trial], dose: Dose) -> str:
    detected = [t for t in trials if t.outcome is CheckOutcome.REGRESSION]
    wrong = sum(t.main_phase != dose.phase for t in detected)
    share = f" = {_share(len(detected), len(trials))}" if len(trials) >= MIN_TRIALS else ""
    return f"{len(detected):,} of {len(trials):,}{share} ({wrong})"


def _neighbours(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    rows = []
    for name in gate_live.NEIGHBOURS:
        checks = [line for line in lines if line["neighbour"] == name]
        outcomes = [line["outcome"] for line in checks]
        changes = [line["change_of_discarded"] for line in checks if line["interference"]]
        discarded, taken = (sum(line[key] for line in checks) for key in ("interference", "taken"))
        rows.append(
            [
                *(name, f"{len(checks)}", *(f"{outcomes.count(outcome)}" for outcome in OUTCOMES)),
                *(f"{discarded} of {taken}", f"{np.median(changes):+.0%}"),
            ]
        )
    method = "Identical sides, beside a process for each core that keeps the core busy."
    heads = [
        *("the neighbour runs", "checks", "alarms", "pass", "could not tell"),
        *("pairs discarded", "change in these, median"),
    ]
    return "\n\n".join(["## A busy neighbour", method, table(heads, rows)])


def _peers(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    groups = [_of(lines, Dose(share)) for share in (0.0, 0.03, 0.05, 0.10)]
    rows = [
        [rule.name, *(f"{alarms(rule, group)} of {len(group)}" for group in groups)]
        for rule in RULES
    ]
    method = (
        "The rules of other tools, applied to each pair alone, as if its two sides were the two "
        "runs that the tools compare. The sides of a pair take turns, which favours these rules: "
        "they are made for runs at different times."
    )
    heads = ["rule", "alarms, identical sides", "3 % detected", "5 % detected", "10 % detected"]
    return "\n\n".join(["## Other rules, on the same pairs", method, table(heads, rows)])


if __name__ == "__main__":
    main()
