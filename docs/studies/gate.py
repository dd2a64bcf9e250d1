"""How often is the regression check wrong? Identical sides, known slowdowns, a busy neighbour.

Measures five parts, which are stored in `gate.jsonl` in the same directory. Then replays many
checks from these measurements, and writes `gate.md`: `nox -s study -- gate` (two hours and a half;
nothing else should run). `python docs/studies/gate.py suites doses` measures some parts alone, and
`python docs/studies/gate.py report` measures nothing.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gate_live
import numpy as np
from gate_live import DOSES, PAIR_S
from gate_replay import RULES, Trial, alarms, consecutive, pair_of, relabelled, resampled, trial
from gate_repository import Dose
from scipy import stats
from truth_record import table

from stepbench.machine import cpu_name, packages, usable_cores
from stepbench_reports.regression.records import Pair

HERE = Path(__file__).resolve().parent
DATA = HERE / "gate.jsonl"
SUITES, ROUNDS = 60, 50
REPLAYS, TRIALS = 10_000, 2_000
TIGHT_DOSE = 0.03
TIGHT = 0.015
"""The aim: slowdowns of 3 % with at most this spread are detected in 95 of 100 checks."""
MIN_TRIALS = 100
"""The minimum number of trials for a share to be shown."""
SLOWED, SLOWED_SUITES = Dose(0.05), 12
"""The slowdown of whole checks, and the number of these checks."""
PARTS: Mapping[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    "suites": lambda scratch: gate_live.suites(scratch, SUITES, Dose(0.0), "suite"),
    "slowed": lambda scratch: gate_live.suites(scratch, SLOWED_SUITES, SLOWED, "slowed"),
    "doses": lambda scratch: gate_live.doses(scratch, ROUNDS),
    "neighbour": gate_live.neighbour,
    "times": lambda scratch: gate_live.times(scratch, HERE.parents[1]),
}
KINDS = {
    "suites": "suite", "slowed": "slowed", "doses": "dose", "neighbour": "neighbour",
    "times": "time",
}  # fmt: skip


def main() -> None:
    """Measures the requested parts, and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "report"], default=[*PARTS])
    for part in parser.parse_args().parts:
        if part in PARTS:
            _measure(part)
    (HERE / "gate.md").write_text(_report())


def _measure(part: str) -> None:
    """Measures a part; its measurements replace older ones."""
    others = [line for line in _lines() if line["kind"] != KINDS[part]]
    DATA.write_text("".join(json.dumps(line) + "\n" for line in others))
    with tempfile.TemporaryDirectory(prefix="stepbench-study-") as scratch:
        for entry in PARTS[part](Path(scratch)):
            with DATA.open("a") as file:
                file.write(json.dumps({**entry, "cpu": cpu_name()}) + "\n")


def _lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in DATA.read_text().splitlines()] if DATA.exists() else []


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


def _upper_limit(alarm_count: int, count: int) -> str:
    """The exact 95 % upper confidence limit of a share."""
    high = stats.binomtest(alarm_count, count).proportion_ci(method="exact").high
    return f"{high:.1%}"


def _share(number: int, count: int) -> str:
    return f"{number / count:.1%}" if count else "none"


def _report() -> str:
    lines = _lines()
    by_kind = {kind: [line for line in lines if line["kind"] == kind] for kind in KINDS.values()}
    footer = (
        f"{usable_cores()} cores: {_machines(lines)}; torch {packages().get('torch')}. Repeat it "
        f"with `nox -s study -- gate`; the measurements are in `gate.jsonl`."
    )
    parts = [
        "# The regression check: false alarms, and detected slowdowns",
        _identical(by_kind["suite"], by_kind["time"]),
        _doses(by_kind["dose"], by_kind["slowed"]),
        _neighbours(by_kind["neighbour"]),
        _peers(by_kind["dose"]),
        _times(by_kind["time"]),
        footer,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _identical(suites: Sequence[dict[str, Any]], timed: Sequence[dict[str, Any]]) -> str:
    if not suites:
        return ""
    exits = [*(check.exit for check in _replayed(suites)), *(check["exit"] for check in timed)]
    alarm_count = exits.count(1)
    pairs = _in_order(suites)
    steps = np.array([pair.changes["step"] for pair in pairs if not pair.interference])
    rows = []
    for cases in (1, 4):
        trials = relabelled(pairs, REPLAYS, cases)
        wrong, undecided = (sum(t.exit == code for t in trials) for code in (1, 2))
        mean = np.mean([t.pairs for t in trials])
        rows.append(
            [
                *(f"{cases}", f"{len(trials):,}", f"{wrong}", _share(wrong, len(trials))),
                *(_share(undecided, len(trials)), f"{mean:.1f}"),
            ]
        )
    live = (
        f"Whole checks with the same files on both sides: {len(suites)} of one case, with "
        f"{PAIR_S:g} s of turns per pair, and {len(timed)} of one to four cases from the command "
        f"line with default options. **{alarm_count} of {len(exits)} raised an alarm** (95 % upper "
        f"limit: {_upper_limit(alarm_count, len(exits))}); {exits.count(2)} could not tell. The "
        f"spread of a pair's step in the {len(suites)} checks is {steps.std(ddof=1):.1%}."
    )
    replays = (
        f"Checks replayed from the {len(pairs)} recorded pairs of these {len(suites)}: in recorded "
        f"order from a random start, with the sides of each pair swapped at random:"
    )
    heads = ["cases", "checks", "alarms", "share", "could not tell", "pairs per case, mean"]
    return "\n\n".join(["## Identical sides", live, replays, table(heads, rows)])


def _replayed(suites: Sequence[dict[str, Any]]) -> list[Trial]:
    """Replays whole checks from their pairs in recorded order."""
    return [trial([iter([pair_of(pair) for pair in suite["pairs"]])]) for suite in suites]


def _in_order(suites: Sequence[dict[str, Any]]) -> list[Pair]:
    """The pairs of suites in recorded order: round by round."""
    rounds = itertools.zip_longest(*(suite["pairs"] for suite in suites))
    return [pair_of(pair) for round_ in rounds for pair in round_ if pair is not None]


def _of(lines: Sequence[dict[str, Any]], dose: Dose) -> list[dict[str, Any]]:
    return [line for line in lines if (line["share"], line["phase"]) == (dose.share, dose.phase)]


def _doses(lines: Sequence[dict[str, Any]], slowed: Sequence[dict[str, Any]]) -> str:
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
        f"sampled with replacement. Detected means exit code 1; `inconclusive` is a miss. In "
        f"brackets: the detections that name another phase."
    )
    heads = [
        *("slowdown", "measured", "spread", "valid pairs", "detected, in order"),
        *("detected, sampled", "pairs per check"),
    ]
    parts = ["## Slowdowns in head", method, table(heads, rows), claim, _whole_checks(slowed)]
    return "\n\n".join(part for part in parts if part)


def _whole_checks(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    trials = _replayed(lines)
    mean = np.mean([t.pairs for t in trials])
    return (
        f"Whole checks of {SLOWED.share:.0%} in {SLOWED.phase}, without common pairs: "
        f"**{_detected(trials, SLOWED)} detected it**, with a mean of {mean:.0f} pairs."
    )


def _tight(sampled: Sequence[Trial]) -> str:
    tight = [t for t in sampled if t.spread <= TIGHT]
    if len(tight) < MIN_TRIALS:
        return (
            f"{len(tight)} of the {len(sampled):,} sampled checks of 3 % had a spread of at most "
            f"{TIGHT:.1%}: too few for a claim."
        )
    detected = sum(t.exit == 1 for t in tight)
    return (
        f"{len(tight):,} of the {len(sampled):,} sampled checks of 3 % had a spread of at most "
        f"{TIGHT:.1%}: {_share(detected, len(tight))} of these detected it."
    )


def _detected(trials: Sequence[Trial], dose: Dose) -> str:
    detected = [t for t in trials if t.exit == 1]
    wrong = sum(t.main_phase != dose.phase for t in detected)
    share = f" = {_share(len(detected), len(trials))}" if len(trials) >= MIN_TRIALS else ""
    return f"{len(detected):,} of {len(trials):,}{share} ({wrong})"


def _neighbours(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    rows = []
    for name in gate_live.NEIGHBOURS:
        checks = [line for line in lines if line["neighbour"] == name]
        exits = [line["exit"] for line in checks]
        changes = [line["change_of_discarded"] for line in checks if line["interference"]]
        discarded, taken = (sum(line[key] for line in checks) for key in ("interference", "taken"))
        rows.append(
            [
                *(name, f"{len(checks)}", *(f"{exits.count(code)}" for code in (1, 0, 2))),
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


def _times(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    rows = [
        [
            *(f"{line['cases']} {line['what']}", f"{line['elapsed_s']:.0f} s", f"{line['pairs']}"),
            *(f"{line['rows']}", f"{line['inconclusive']}"),
            ", ".join(f"{spread:.1%}" for spread in line["spreads"]),
        ]
        for line in lines
    ]
    method = (
        "Checks of the lesson's network without a regression, with default options. If there are "
        "several cases, the last spread is that of their mean."
    )
    heads = ["cases", "time", "pairs", "rows", "inconclusive", "spread of each step"]
    return "\n\n".join(["## How long a check takes", method, table(heads, rows)])


if __name__ == "__main__":
    main()
