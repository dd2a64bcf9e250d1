"""The parts of the study of the gate that measure: suites, doses, a neighbour, times."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import gate_repository
import numpy as np
from gate_repository import WORKLOAD, Dose
from msgspec.structs import replace
from scipy import stats
from truth_record import say

from stepbench.config.case import Case
from stepbench.process.job import Job
from stepbench.regression import directory, options, servers
from stepbench.regression.comparison import Comparison
from stepbench.regression.pair import PairRequest, TakenPair, pair_line
from stepbench.regression.sides import Side, Sides
from stepbench.regression.tree import Tree
from stepbench_reports import regression
from stepbench_reports.regression import decision, records, screening
from stepbench_reports.schema.check import (
    SCHEMA,
    SIDES,
    CheckSpec,
    PairLine,
    SideFacts,
    SideFailure,
    Stage,
)
from stepbench_reports.schema.machine import MachineFacts

DOSES = (
    Dose(0.0),
    *(Dose(share) for share in (0.01, 0.02, 0.03, 0.05, 0.10)),
    *(Dose(0.05, phase) for phase in ("dataload", "backward", "optimizer")),
)
CASE = Case(workload=WORKLOAD, batch_size=256, num_workers=0)
PAIR_S = 1.5
"""How long the turns of a pair last together: somewhat less than usual, for many pairs."""
NEIGHBOUR_S = 0.5
"""And those of one beside a neighbour, which makes them several times as long."""
PACKAGES = ("torch._dynamo",)
"""What a check learns in its first round that its servers are to import."""


def _axes(case: Case) -> list[str]:
    return [
        *("--workload", case.workload, "--batch-size", str(case.batch_size)),
        *("--num-workers", str(case.num_workers), "--compile", case.compile),
    ]


def _check(repository: Path, output: Path, *words: str) -> int:
    command = [
        *(sys.executable, "-m", "stepbench", "regression", "--base", "main", "--head", "main"),
        *("--output", str(output)),
        *words,
    ]
    # Where the check itself is imported from, when the current directory is another.
    own = {**os.environ, "PYTHONPATH": str(Path(servers.__file__).resolve().parents[2])}
    done = subprocess.run(
        command, cwd=repository, env=own, capture_output=True, text=True, check=False
    )
    if done.returncode not in {0, 1}:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.returncode


def _told(pair: records.Pair) -> dict[str, Any]:
    return {
        "base": {row: round(value, 9) for row, value in pair.base.items()},
        "head": {row: round(value, 9) for row, value in pair.head.items()},
        "disturbed": pair.disturbed,
    }


@contextmanager
def _comparisons(place: Path, doses: Sequence[Dose]) -> Iterator[dict[Dose, Comparison]]:
    """A comparison of the repository with each slowed copy of it."""
    repository = gate_repository.make(place / "doses")
    asked = options.read(
        {
            "stepbench_base": "main", "stepbench_workload": [WORKLOAD],
            "stepbench_pair_time": str(PAIR_S), "stepbench_no_parity": True,
        },
        repository,
    )  # fmt: skip
    os.chdir(repository)
    with directory.created(place / "check") as kept:

        def comparison(files: Path) -> Comparison:
            base, head = (
                Side(Tree(side, repository, at, Path()), None, side, Path(sys.executable))
                for side, at in zip(SIDES, (repository, files), strict=True)
            )
            return Comparison(
                asked, Sides(base, head, None, (), same_files=False), kept, None, PACKAGES
            )

        step_s = _pilot(comparison(repository))
        say(f"a step takes {step_s * 1e3:.2f} ms")
        yield {
            dose: comparison(gate_repository.slowed(place / dose.name, dose, step_s))
            for dose in doses
        }


def _pilot(comparison: Comparison) -> float:
    """What a step takes, seconds."""
    taken = []
    for _ in range(3):
        with servers.opened(comparison, [CASE]) as taking:
            taken.append(_figures(taking.pair(CASE, lambda _: None))["base"]["step"])
    return float(np.median(taken))


def doses(place: Path, count: int) -> Iterator[dict[str, Any]]:
    """Pairs with each dose; those of a round are forked from one process, as those of cases are."""
    with _comparisons(place, DOSES) as comparisons:
        for number in range(count):
            began = time.perf_counter()
            first = next(iter(comparisons.values()))
            with servers.opened(first, [CASE]) as taking:
                for dose, comparison in comparisons.items():
                    pair = replace_comparison(taking, comparison).pair(CASE, lambda _: None)
                    yield {
                        "kind": "dose",
                        "round": number,
                        "share": dose.share,
                        "phase": dose.phase,
                        **_figures(pair),
                    }
            say(f"doses, round {number + 1} of {count}: {time.perf_counter() - began:.0f} s")


def replace_comparison(taking: servers.PairServers, comparison: Comparison) -> servers.PairServers:
    """The same round's server, for other sides."""
    return servers.PairServers(comparison, taking.servers)


def _figures(found: TakenPair | SideFailure) -> dict[str, Any]:
    """A pair as it is decided about, and by the rules of others."""
    if isinstance(found, SideFailure):
        sys.exit(f"{found.side}: {found.reason}\n{found.detail}")
    return {**_told(_pair(found, 1, "screen")), **others(found)}


def _pair(found: TakenPair | SideFailure, number: int, stage: Stage) -> records.Pair:
    line = pair_line(found, case=CASE.id, number=number, stage=stage)
    if not isinstance(line, PairLine):
        sys.exit(f"{line.failed.side}: {line.failed.reason}\n{line.failed.detail}")
    return records.pair(line)


def others(pair: TakenPair) -> dict[str, float]:
    """What peers' rules look at: the ratio of medians, and the p-value of a Mann-Whitney test."""
    base, head = (
        np.array([turn.elapsed_s / turn.steps for turn in pair.turns if turn.side == side])
        for side in SIDES
    )
    p = stats.mannwhitneyu(base, head, alternative="two-sided").pvalue
    return {"medians": float(np.median(head) / np.median(base)), "mann_whitney": float(p)}


def suites(place: Path, count: int, dose: Dose, kind: str) -> Iterator[dict[str, Any]]:
    """Whole checks with a dose, taken side by side: a pair of each in every round."""
    with _comparisons(place, (dose,)) as comparisons:
        checks = [_Suite(Random(number)) for number in range(count)]  # noqa: S311  # no secret

        def take(taking: servers.PairServers, _: _Suite) -> TakenPair | SideFailure:
            return taking.pair(CASE, lambda _: None)

        _go_through(comparisons[dose], checks, take)
    for check in checks:
        yield {**check.to_json(), "kind": kind, "pairs": [_told(p) for p in check.check.pairs]}


HOG = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
while True: pass
"""


@contextmanager
def _hogs() -> Iterator[list[int]]:
    """A process for each core that does nothing but burn it, stopped at first."""
    cores = sorted(os.sched_getaffinity(0))
    processes = [subprocess.Popen([sys.executable, "-c", HOG, str(core)]) for core in cores]
    try:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


NEIGHBOURS: dict[str, tuple[int, Callable[[Random, int], Sequence[str]]]] = {
    "during head's turns, in every pair": (10, lambda _, __: ["head"]),
    "during head's turns, in one of two pairs": (
        10,
        lambda toss, _: ["head"] if toss.random() < 0.5 else [],
    ),
    "from the fourth pair on, during all turns": (
        6,
        lambda _, taken: ["base", "head"] if taken > 2 else [],
    ),
}
"""When a neighbour is at work: in how many suites, and beside which sides' turns of their pairs."""


def neighbour(place: Path) -> Iterator[dict[str, Any]]:
    """Checks of identical sides beside a neighbour that burns every core.

    All suites take their pairs round by round, those of a round forked from one process.
    """
    alike = Dose(0.0)
    names = [name for name, (count, _) in NEIGHBOURS.items() for _ in range(count)]
    with _comparisons(place, (alike,)) as comparisons, _hogs() as pids:
        comparison = comparisons[alike]
        tosses = [Random(number) for number in range(len(names))]  # noqa: S311  # no secret
        checks = [_Suite(toss, name) for name, toss in zip(names, tosses, strict=True)]

        def take(taking: servers.PairServers, check: _Suite) -> TakenPair | SideFailure:
            _, choose = NEIGHBOURS[check.beside]
            sides = {side: comparison.side(side, CASE) for side in SIDES}
            turns = replace(comparison.options.turns, total_s=NEIGHBOUR_S)
            asked = PairRequest(sides, check.toss.getrandbits(32), turns)
            beside = choose(check.toss, len(check.check.pairs))
            job = Job("gate_neighbour:take_beside", (asked, pids, beside))
            return servers.taken(comparison.run(taking.servers["head"], job, lambda _: None))

        _go_through(comparison, checks, take)
    for check in checks:
        yield {**check.to_json(), "kind": "neighbour", "beside": check.beside}


class _Suite:
    """A check whose pairs are taken beside those of others."""

    def __init__(self, toss: Random, beside: str = "") -> None:
        self.toss = toss
        self.beside = beside
        self._pairs: list[records.Pair] = []

    def add(self, number: int, stage: Stage, found: TakenPair | SideFailure) -> None:
        self._pairs.append(_pair(found, number, stage))

    @property
    def check(self) -> regression.Check:
        return check_of(self._pairs)

    @property
    def wanted(self) -> screening.Wanted | None:
        return screening.Screening(self.check).wanted

    def to_json(self) -> dict[str, Any]:
        pairs = self.check.pairs
        beside = [pair.changes["step"] for pair in pairs if pair.disturbed]
        return {
            "exit": decision.decide(self.check).exit_code,
            "taken": len(pairs),
            "disturbed": sum(pair.disturbed for pair in pairs),
            "change_of_disturbed": float(np.median(beside)) if beside else None,
        }


def _go_through(
    comparison: Comparison,
    checks: Sequence[_Suite],
    take: Callable[[servers.PairServers, _Suite], TakenPair | SideFailure],
) -> None:
    """Takes checks to their ends, round by round; a round's pairs are forked from one process."""
    number = 0
    while any(check.wanted for check in checks):
        number += 1
        began = time.perf_counter()
        with servers.opened(comparison, [CASE]) as taking:
            for check in checks:
                if check.wanted is not None:
                    check.add(number, check.wanted.stage, take(taking, check))
        left = sum(check.wanted is not None for check in checks)
        say(f"round {number}, {time.perf_counter() - began:.0f} s: {left} suites go on")


def check_of(pairs: Sequence[records.Pair]) -> regression.Check:
    """A check that has recorded some pairs, and nothing else."""
    cases = list(dict.fromkeys(pair.case for pair in pairs)) or [CASE.id]
    side = SideFacts(commit=None, described="the study's")
    spec = CheckSpec(
        schema=SCHEMA,
        id="study",
        started="",
        command="",
        directory="",
        stepbench="",
        machine=MachineFacts(cpu="", usable_cores=1, memory_bytes=0, system="", python=""),
        sides={"base": side, "head": side},
        smallest=options.SMALLEST,
        axes={},
        cases=tuple(cases),
    )
    return regression.Check(Path(), spec, tuple(pairs))


SIZES: tuple[tuple[str, int, list[str]], ...] = (
    ("eager", 1, ["--compile", "off", "--batch-size", "32", "--num-workers", "0"]),
    ("eager", 4, ["--compile", "off", "--batch-size", "4", "8", "16", "32", "--num-workers", "0"]),
    (
        "eager, two of them with workers",
        4,
        ["--compile", "off", "--batch-size", "4", "32", "--num-workers", "0", "2"],
    ),
    ("compiled", 1, ["--compile", "default", "--batch-size", "32", "--num-workers", "0"]),
    ("compiled", 2, ["--compile", "default", "--batch-size", "4", "32", "--num-workers", "0"]),
)
"""Suites of the lesson's net, with all that a check does by default, parity and compiling too."""


def times(place: Path, stepbench: Path) -> Iterator[dict[str, Any]]:
    """How long whole checks of identical sides take, by the number of cases."""
    for number, (kind, count, axes) in enumerate(SIZES):
        output = place / f"times-{number}"
        began = time.perf_counter()
        code = _check(stepbench, output, "--workload", "convnet", "--budget", "20m", *axes)
        elapsed_s = time.perf_counter() - began
        verdict = json.loads((output / "verdict.json").read_text())
        rows = [row["verdict"] for row in verdict["rows"] if row["verdict"]]
        check = regression.load(output)
        yield {
            "kind": "time",
            "what": kind,
            "cases": count,
            "exit": code,
            "elapsed_s": elapsed_s,
            "pairs": len(check.pairs),
            "rows": len(rows),
            "inconclusive": rows.count("inconclusive"),
            "spreads": [row["spread"] for row in verdict["rows"] if row["row"] == "step"],
        }
        say(f"{count} {kind}: exit {code}, {elapsed_s:.0f} s")
