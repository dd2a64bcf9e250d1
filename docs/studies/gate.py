"""How often is the regression gate wrong? Identical sides, known slowdowns, a noisy neighbour.

Takes five parts, which keep what they measure in `gate.jsonl` beside this file; then decides again
from that, many times over, and writes `gate.md`: `nox -s study -- gate` (two hours and a half;
nothing else should run). `python docs/studies/gate.py suites doses` takes some parts alone, and
`python docs/studies/gate.py report` none.
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
"""The spread up to which 3 % slowdowns are to be seen in 95 of 100 cases."""
LEAST_TRIALS = 100
"""A claim about trials of a kind is made from so many, at least."""
SLOWED, SLOWED_SUITES = Dose(0.05), 12
"""What whole checks are to see, and how many of them there are."""
PARTS: Mapping[str, Callable[[Path], Iterator[dict[str, Any]]]] = {
    "suites": lambda place: gate_live.suites(place, SUITES, Dose(0.0), "suite"),
    "slowed": lambda place: gate_live.suites(place, SLOWED_SUITES, SLOWED, "slowed"),
    "doses": lambda place: gate_live.doses(place, ROUNDS),
    "neighbour": gate_live.neighbour,
    "times": lambda place: gate_live.times(place, HERE.parents[1]),
}
KINDS = {
    "suites": "suite", "slowed": "slowed", "doses": "dose", "neighbour": "neighbour",
    "times": "time",
}  # fmt: skip


def main() -> None:
    """Measures what was asked for, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "report"], default=[*PARTS])
    for part in parser.parse_args().parts:
        if part in PARTS:
            _measure(part)
    (HERE / "gate.md").write_text(_report())


def _measure(part: str) -> None:
    """Takes a part, in the place of what an earlier try of it gave."""
    kept = [line for line in _lines() if line["kind"] != KINDS[part]]
    DATA.write_text("".join(json.dumps(line) + "\n" for line in kept))
    with tempfile.TemporaryDirectory(prefix="stepbench-study-") as place:
        for entry in PARTS[part](Path(place)):
            with DATA.open("a") as file:
                file.write(json.dumps({**entry, "cpu": cpu_name()}) + "\n")


def _lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in DATA.read_text().splitlines()] if DATA.exists() else []


def _machines(lines: Sequence[dict[str, Any]]) -> str:
    """Which processors the parts were measured on."""
    of_part = {
        part: {line["cpu"] for line in lines if line["kind"] == kind}
        for part, kind in KINDS.items()
    }
    by_cpu: dict[str, list[str]] = {}
    for part, names in of_part.items():
        for name in sorted(names):
            by_cpu.setdefault(name, []).append(part)
    return "; ".join(f"{', '.join(parts)} on {name}" for name, parts in by_cpu.items())


def _bound(alarms_seen: int, count: int) -> str:
    """The exact 95 % upper bound of a share."""
    high = stats.binomtest(alarms_seen, count).proportion_ci(method="exact").high
    return f"{high:.1%}"


def _share(found: int, count: int) -> str:
    return f"{found / count:.1%}" if count else "none"


def _report() -> str:
    lines = _lines()
    by_kind = {kind: [line for line in lines if line["kind"] == kind] for kind in KINDS.values()}
    where = (
        f"{usable_cores()} cores: {_machines(lines)}; torch {packages().get('torch')}. Repeat it "
        f"with `nox -s study -- gate`; what was measured lies in `gate.jsonl`."
    )
    parts = [
        "# The regression gate: false alarms, and what is seen",
        _alike(by_kind["suite"], by_kind["time"]),
        _doses(by_kind["dose"], by_kind["slowed"]),
        _neighbours(by_kind["neighbour"]),
        _peers(by_kind["dose"]),
        _times(by_kind["time"]),
        where,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _alike(suites: Sequence[dict[str, Any]], more: Sequence[dict[str, Any]]) -> str:
    if not suites:
        return ""
    exits = [*(each.exit for each in _decided(suites)), *(each["exit"] for each in more)]
    seen = exits.count(1)
    pairs = _in_order(suites)
    steps = np.array([pair.changes["step"] for pair in pairs if not pair.disturbed])
    rows = []
    for cases in (1, 4):
        trials = relabelled(pairs, REPLAYS, cases)
        wrong, nothing = (sum(each.exit == code for each in trials) for code in (1, 2))
        mean = np.mean([each.pairs for each in trials])
        rows.append(
            [
                *(f"{cases}", f"{len(trials):,}", f"{wrong}", _share(wrong, len(trials))),
                *(_share(nothing, len(trials)), f"{mean:.1f}"),
            ]
        )
    live = (
        f"Whole checks of the same files on both sides: {len(suites)} of one case, with turns of "
        f"{PAIR_S:g} s a pair, and {len(more)} of one to four cases by the command line, with "
        f"turns as long as usual and all that a check does besides. **{seen} of {len(exits)} "
        f"raised an alarm** (at most {_bound(seen, len(exits))} by the exact 95 % bound); "
        f"{exits.count(2)} could not tell. Spread of a pair's step in the {len(suites)}: "
        f"{steps.std(ddof=1):.1%}."
    )
    again = (
        f"Checks decided again from the {len(pairs)} recorded pairs of the {len(suites)}, in their "
        f"recorded order from a place drawn at random, the sides of each pair swapped at random:"
    )
    heads = ["cases", "checks", "alarms", "share", "could not tell", "pairs a case, mean"]
    return "\n\n".join(["## Identical sides", live, again, table(heads, rows)])


def _decided(suites: Sequence[dict[str, Any]]) -> list[Trial]:
    """Whole checks, decided again from their pairs in the order in which they were taken."""
    return [trial([iter([pair_of(each) for each in suite["pairs"]])]) for suite in suites]


def _in_order(suites: Sequence[dict[str, Any]]) -> list[Pair]:
    """The pairs of suites in the order in which they were taken: round by round."""
    rounds = itertools.zip_longest(*(each["pairs"] for each in suites))
    return [pair_of(each) for round_ in rounds for each in round_ if each is not None]


def _of(lines: Sequence[dict[str, Any]], dose: Dose) -> list[dict[str, Any]]:
    return [line for line in lines if (line["share"], line["phase"]) == (dose.share, dose.phase)]


def _doses(lines: Sequence[dict[str, Any]], whole: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    rows = []
    claim = ""
    for dose in DOSES:
        told = _of(lines, dose)
        pairs = [pair_of(each) for each in told]
        kept = [pair for pair in pairs if not pair.disturbed]
        changes = np.array([pair.changes["step"] for pair in kept])
        live, drawn = consecutive(pairs), resampled(pairs, TRIALS)
        rows.append(
            [
                f"{dose.share:.0%} in {dose.phase}" if dose.share else "none",
                *(f"{np.median(changes):+.1%}", f"{changes.std(ddof=1):.1%}"),
                *(f"{len(kept)} of {len(told)}", _seen(live, dose), _seen(drawn, dose)),
                f"{np.mean([each.pairs for each in drawn]):.0f}",
            ]
        )
        if dose.share == TIGHT_DOSE:
            claim = _tight(drawn)
    how = (
        f"A spin of a share of the step in one phase; turns of {PAIR_S:g} s a pair. Checks that "
        f"went on from pair to pair as they were taken, each pair in one check, and {TRIALS:,} "
        f"of pairs drawn with replacement. Seen means exit code 1; `inconclusive` "
        f"is a miss. In brackets: how many of those that were seen blamed another phase."
    )
    heads = [
        *("slowdown", "measured", "spread", "undisturbed pairs", "seen, in order", "seen, drawn"),
        "pairs a check",
    ]
    parts = ["## Slowdowns in head alone", how, table(heads, rows), claim, _whole(whole)]
    return "\n\n".join(part for part in parts if part)


def _whole(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    live = _decided(lines)
    mean = np.mean([each.pairs for each in live])
    return (
        f"Whole checks of {SLOWED.share:.0%} in {SLOWED.phase}, each with pairs of its own: "
        f"**{_seen(live, SLOWED)} saw it**, with {mean:.0f} pairs in the mean."
    )


def _tight(drawn: Sequence[Trial]) -> str:
    tight = [each for each in drawn if each.spread <= TIGHT]
    if len(tight) < LEAST_TRIALS:
        return (
            f"{len(tight)} of the {len(drawn):,} drawn checks of 3 % had a spread of at most "
            f"{TIGHT:.1%}: too few to claim anything of them."
        )
    seen = sum(each.exit == 1 for each in tight)
    return (
        f"{len(tight):,} of the {len(drawn):,} drawn checks of 3 % had a spread of at most "
        f"{TIGHT:.1%}: {_share(seen, len(tight))} of these saw it."
    )


def _seen(trials: Sequence[Trial], dose: Dose) -> str:
    seen = [each for each in trials if each.exit == 1]
    wrong = sum(each.blamed != dose.phase for each in seen)
    share = f" = {_share(len(seen), len(trials))}" if len(trials) >= LEAST_TRIALS else ""
    return f"{len(seen):,} of {len(trials):,}{share} ({wrong})"


def _neighbours(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    rows = []
    for name in gate_live.NEIGHBOURS:
        own = [line for line in lines if line["beside"] == name]
        exits = [line["exit"] for line in own]
        beside = [line["change_of_disturbed"] for line in own if line["disturbed"]]
        set_aside, taken = (sum(line[what] for line in own) for what in ("disturbed", "taken"))
        rows.append(
            [
                *(name, f"{len(own)}", *(f"{exits.count(code)}" for code in (1, 0, 2))),
                *(f"{set_aside} of {taken}", f"{np.median(beside):+.0%}"),
            ]
        )
    how = "Identical sides, while a process for each core does nothing but burn it."
    heads = [
        *("the neighbour is at work", "checks", "alarms", "pass", "could not tell"),
        *("pairs set aside", "change in these, median"),
    ]
    return "\n\n".join(["## A busy neighbour", how, table(heads, rows)])


def _peers(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    groups = [_of(lines, Dose(share)) for share in (0.0, 0.03, 0.05, 0.10)]
    rows = [
        [rule.name, *(f"{alarms(rule, told)} of {len(told)}" for told in groups)] for rule in RULES
    ]
    how = (
        "What other tools' rules say of each pair alone, as if its two sides were the two runs "
        "that they compare: on turns in lockstep, which is kinder to them than the runs of two "
        "times of day that they are made for."
    )
    heads = ["rule", "alarms, identical sides", "3 % seen", "5 % seen", "10 % seen"]
    return "\n\n".join(["## Other rules, on the same pairs", how, table(heads, rows)])


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
    how = (
        "Checks of the lesson's net without a regression, with all that they do by default. Where "
        "there are several cases, the last spread is that of their mean."
    )
    heads = ["cases", "time", "pairs", "rows", "inconclusive", "spread of each step"]
    return "\n\n".join(["## How long it takes", how, table(heads, rows)])


if __name__ == "__main__":
    main()
