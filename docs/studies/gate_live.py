"""The parts of the gate study that measure: suites, doses, a neighbour, times."""

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
from truth_record import print_progress

from stepbench.config.case import Case
from stepbench.process.extras import Extras
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
"""The total length of a pair's turns, seconds: less than the default, to take many pairs."""
NEIGHBOUR_S = 0.5
"""The same beside a neighbour, which makes turns several times as long."""
PACKAGES = ("torch._dynamo",)
"""Modules for the servers to import, which a check finds in its survey."""


def _axes(case: Case) -> list[str]:
    return [
        *("--workload", case.workload, "--batch-size", str(case.batch_size)),
        *("--num-workers", str(case.num_workers), "--compile", case.compile),
    ]


def _check(repository: Path, output: Path, *arguments: str) -> int:
    command = [
        *(sys.executable, "-m", "stepbench", "regression", "--base", "main", "--head", "main"),
        *("--output", str(output)),
        *arguments,
    ]
    # The check must import stepbench from this tree, also in another directory.
    env = {**os.environ, "PYTHONPATH": str(Path(servers.__file__).resolve().parents[2])}
    done = subprocess.run(
        command, cwd=repository, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode not in {0, 1}:
        sys.exit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.returncode


def _pair_json(pair: records.Pair) -> dict[str, Any]:
    return {
        "base": {row: round(value, 9) for row, value in pair.base.items()},
        "head": {row: round(value, 9) for row, value in pair.head.items()},
        "interference": pair.interference,
    }


@contextmanager
def _comparisons(scratch: Path, doses: Sequence[Dose]) -> Iterator[dict[Dose, Comparison]]:
    """Makes a comparison of the repository with each slowed copy of it."""
    repository = gate_repository.make(scratch / "doses")
    check_options = options.read(
        {
            "stepbench_base": "main", "stepbench_workload": [WORKLOAD],
            "stepbench_pair_time": str(PAIR_S), "stepbench_no_parity": True,
        },
        repository,
    )  # fmt: skip
    os.chdir(repository)
    with directory.created(scratch / "check") as check_directory:

        def comparison(files: Path) -> Comparison:
            base, head = (
                Side(Tree(side, repository, root, Path()), None, side, Path(sys.executable))
                for side, root in zip(SIDES, (repository, files), strict=True)
            )
            sides = Sides(base, head, None, (), same_files=False)
            return Comparison(check_options, sides, check_directory, extras=Extras(PACKAGES))

        step_s = _pilot(comparison(repository))
        print_progress(f"a step takes {step_s * 1e3:.2f} ms")
        yield {
            dose: comparison(gate_repository.slowed(scratch / dose.name, dose, step_s))
            for dose in doses
        }


def _pilot(comparison: Comparison) -> float:
    """Measures the step, seconds."""
    steps = []
    for _ in range(3):
        with servers.opened(comparison, [CASE]) as pair_servers:
            steps.append(_figures(pair_servers.pair(CASE, lambda _: None))["base"]["step"])
    return float(np.median(steps))


def doses(scratch: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """Takes pairs with each dose; as in a check, a round's pairs are forked from one process."""
    with _comparisons(scratch, DOSES) as comparisons:
        for number in range(rounds):
            began = time.perf_counter()
            first = next(iter(comparisons.values()))
            with servers.opened(first, [CASE]) as pair_servers:
                for dose, comparison in comparisons.items():
                    pair = replace_comparison(pair_servers, comparison).pair(CASE, lambda _: None)
                    yield {
                        "kind": "dose",
                        "round": number,
                        "share": dose.share,
                        "phase": dose.phase,
                        **_figures(pair),
                    }
            print_progress(
                f"doses, round {number + 1} of {rounds}: {time.perf_counter() - began:.0f} s"
            )


def replace_comparison(
    pair_servers: servers.PairServers, comparison: Comparison
) -> servers.PairServers:
    """The same servers for other sides."""
    return servers.PairServers(comparison, pair_servers.servers)


def _figures(result: TakenPair | SideFailure) -> dict[str, Any]:
    """A pair's figures for the check's decision, and for the rules of other tools."""
    if isinstance(result, SideFailure):
        sys.exit(f"{result.side}: {result.reason}\n{result.detail}")
    return {**_pair_json(_pair(result, 1, "screen")), **peer_statistics(result)}


def _pair(result: TakenPair | SideFailure, number: int, stage: Stage) -> records.Pair:
    line = pair_line(result, case=CASE.id, number=number, stage=stage)
    if not isinstance(line, PairLine):
        sys.exit(f"{line.failed.side}: {line.failed.reason}\n{line.failed.detail}")
    return records.pair(line)


def peer_statistics(pair: TakenPair) -> dict[str, float]:
    """Statistics for the rules of other tools: the ratio of medians, and a Mann-Whitney p-value."""
    base, head = (
        np.array([turn.elapsed_s / turn.steps for turn in pair.turns if turn.side == side])
        for side in SIDES
    )
    p = stats.mannwhitneyu(base, head, alternative="two-sided").pvalue
    return {"medians": float(np.median(head) / np.median(base)), "mann_whitney": float(p)}


def suites(scratch: Path, count: int, dose: Dose, kind: str) -> Iterator[dict[str, Any]]:
    """Runs whole checks with a dose together: every round takes a pair of each check."""
    with _comparisons(scratch, (dose,)) as comparisons:
        checks = [_Suite(Random(number)) for number in range(count)]  # noqa: S311  # no secret

        def take(pair_servers: servers.PairServers, _: _Suite) -> TakenPair | SideFailure:
            return pair_servers.pair(CASE, lambda _: None)

        _run_checks(comparisons[dose], checks, take)
    for check in checks:
        yield {**check.to_json(), "kind": kind, "pairs": [_pair_json(p) for p in check.check.pairs]}


BUSY_LOOP = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
while True: pass
"""


@contextmanager
def _neighbour_processes() -> Iterator[list[int]]:
    """Starts a busy process for each core, and stops it; yields the process ids."""
    cores = sorted(os.sched_getaffinity(0))
    processes = [subprocess.Popen([sys.executable, "-c", BUSY_LOOP, str(core)]) for core in cores]
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
        lambda random, _: ["head"] if random.random() < 0.5 else [],
    ),
    "from the fourth pair on, during all turns": (
        6,
        lambda _, pairs: ["base", "head"] if pairs > 2 else [],
    ),
}
"""By description of when the neighbour runs: the number of suites, and the sides whose turns it
affects, from random numbers and the number of pairs taken."""


def neighbour(scratch: Path) -> Iterator[dict[str, Any]]:
    """Runs checks of identical sides beside a neighbour that keeps every core busy.

    Every round takes a pair of each suite; a round's pairs are forked from one process.
    """
    no_slowdown = Dose(0.0)
    names = [name for name, (count, _) in NEIGHBOURS.items() for _ in range(count)]
    with _comparisons(scratch, (no_slowdown,)) as comparisons, _neighbour_processes() as pids:
        comparison = comparisons[no_slowdown]
        checks = [
            _Suite(Random(number), name)  # noqa: S311  # no secret
            for number, name in enumerate(names)
        ]

        def take(pair_servers: servers.PairServers, check: _Suite) -> TakenPair | SideFailure:
            _, choose_sides = NEIGHBOURS[check.neighbour]
            sides = {side: comparison.side_request(side, CASE) for side in SIDES}
            turns = replace(comparison.options.turns, total_s=NEIGHBOUR_S)
            request = PairRequest(sides, check.random.getrandbits(32), turns)
            noisy_sides = choose_sides(check.random, len(check.check.pairs))
            job = Job("gate_neighbour:take_with_neighbour", (request, pids, noisy_sides))
            server = pair_servers.servers["head"]
            return servers.pair_result(comparison.run(server, job, lambda _: None))

        _run_checks(comparison, checks, take)
    for check in checks:
        yield {**check.to_json(), "kind": "neighbour", "neighbour": check.neighbour}


class _Suite:
    """A check whose pairs are taken in the same rounds as those of other checks."""

    def __init__(self, random: Random, neighbour: str = "") -> None:
        self.random = random
        self.neighbour = neighbour
        self._pairs: list[records.Pair] = []

    def add(self, number: int, stage: Stage, result: TakenPair | SideFailure) -> None:
        self._pairs.append(_pair(result, number, stage))

    @property
    def check(self) -> regression.Check:
        return check_of(self._pairs)

    @property
    def next_pairs(self) -> screening.NextPairs | None:
        return screening.Screening(self.check).next_pairs

    def to_json(self) -> dict[str, Any]:
        pairs = self.check.pairs
        discarded = [pair.changes["step"] for pair in pairs if pair.interference]
        return {
            "exit": decision.decide(self.check).exit_code,
            "taken": len(pairs),
            "interference": len(discarded),
            "change_of_discarded": float(np.median(discarded)) if discarded else None,
        }


def _run_checks(
    comparison: Comparison,
    checks: Sequence[_Suite],
    take: Callable[[servers.PairServers, _Suite], TakenPair | SideFailure],
) -> None:
    """Runs checks until all are decided; a round's pairs are forked from one process."""
    number = 0
    while any(check.next_pairs for check in checks):
        number += 1
        began = time.perf_counter()
        with servers.opened(comparison, [CASE]) as pair_servers:
            for check in checks:
                if check.next_pairs is not None:
                    check.add(number, check.next_pairs.stage, take(pair_servers, check))
        left = sum(check.next_pairs is not None for check in checks)
        elapsed_s = time.perf_counter() - began
        print_progress(f"round {number}, {elapsed_s:.0f} s: {left} suites undecided")


def check_of(pairs: Sequence[records.Pair]) -> regression.Check:
    """A check that has recorded some pairs and nothing else."""
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
        min_effect=options.MIN_EFFECT,
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
"""Suites of the lesson's network with default options, which include parity and compilation."""


def times(scratch: Path, stepbench: Path) -> Iterator[dict[str, Any]]:
    """Measures how long whole checks of identical sides take, by the number of cases."""
    for number, (kind, count, axes) in enumerate(SIZES):
        output = scratch / f"times-{number}"
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
        print_progress(f"{count} {kind}: exit {code}, {elapsed_s:.0f} s")
