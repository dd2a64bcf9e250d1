"""The parts of the gate study that take pairs by themselves: doses, and a neighbour."""

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
from gate_neighbour import BUSY_LOOP, DisturbedPlayer
from gate_repository import WORKLOAD, Dose
from msgspec.structs import replace
from scipy import stats
from truth_record import print_progress

from stepbench.config.case import Case
from stepbench.process.extras import Extras
from stepbench.process.job import Job
from stepbench.regression import directory, options, servers
from stepbench.regression.comparison import Comparison
from stepbench.regression.pair import PairPlace, PlayedPair, pair_line, take_pair
from stepbench.regression.sides import Side, Sides
from stepbench.regression.tree import Tree
from stepbench.scheduling.player import Limits, Player
from stepbench_reports import regression
from stepbench_reports.regression import decision, records, screening
from stepbench_reports.schema.check import (
    SCHEMA,
    SIDES,
    CheckSpec,
    PairLine,
    SideEnd,
    SideFacts,
    SideName,
    Stage,
    TurnSeries,
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
    with servers.opened(comparison, [CASE]) as pool:
        steps = [
            _figures(servers.pair(comparison, pool.next(), CASE, _silent))["base"]["step"]
            for _ in range(3)
        ]
    return float(np.median(steps))


def _silent(_: str) -> None: ...


def doses(scratch: Path, rounds: int) -> Iterator[dict[str, Any]]:
    """Takes pairs with each dose; as in a check, a round's pairs are forked from one process."""
    with (
        _comparisons(scratch, DOSES) as comparisons,
        servers.opened(next(iter(comparisons.values())), [CASE]) as pool,
    ):
        for number in range(rounds):
            began = time.perf_counter()
            server = pool.next()
            for dose, comparison in comparisons.items():
                yield {
                    "kind": "dose",
                    "round": number,
                    "server": server.number,
                    "share": dose.share,
                    "phase": dose.phase,
                    **_figures(servers.pair(comparison, server, CASE, _silent)),
                }
            print_progress(
                f"doses, round {number + 1} of {rounds}: {time.perf_counter() - began:.0f} s"
            )


def _figures(played: PlayedPair) -> dict[str, Any]:
    """A pair's figures for the check's decision, and for the rules of other tools."""
    line = _line(played, PairPlace(CASE.id, 1, 1, "screen"))
    return {**_pair_json(records.pair(line)), **peer_statistics(line.turns)}


def _line(played: PlayedPair, place: PairPlace) -> PairLine:
    line = pair_line(played, place)
    if not isinstance(line, PairLine):
        sys.exit(f"{line.failed.side}: {line.failed.reason}\n{line.failed.detail}")
    return line


def peer_statistics(turns: TurnSeries) -> dict[str, float]:
    """Statistics for the rules of other tools: the ratio of medians, and a Mann-Whitney p-value."""
    steps = np.array(turns.elapsed_s) / np.array(turns.steps)
    base, head = (steps[np.array(turns.side) == side] for side in SIDES)
    p = stats.mannwhitneyu(base, head, alternative="two-sided").pvalue
    return {"medians": float(np.median(head) / np.median(base)), "mann_whitney": float(p)}


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

        def take(server: servers.PairServer, check: _Suite) -> PlayedPair:
            _, choose_sides = NEIGHBOURS[check.neighbour]
            noisy_sides = choose_sides(check.random, len(check.check.pairs))

            def start(side: SideName) -> Player[SideEnd]:
                job = Job(servers.PLAY, (comparison.side_request(side, CASE),))
                limits = Limits(comparison.options.run.deadline_s, _silent)
                neighbours = pids if side in noisy_sides else ()
                return DisturbedPlayer(server.servers[side], job, limits, neighbours)

            turns = replace(comparison.options.turns, total_s=NEIGHBOUR_S)
            return take_pair(start, turns, _silent, check.random)

        _run_checks(comparison, checks, take)
    for check in checks:
        yield {**check.to_json(), "kind": "neighbour", "neighbour": check.neighbour}


class _Suite:
    """A check whose pairs are taken in the same rounds as those of other checks."""

    def __init__(self, random: Random, neighbour: str = "") -> None:
        self.random = random
        self.neighbour = neighbour
        self._pairs: list[records.Pair] = []

    def add(self, number: int, server: int, stage: Stage, played: PlayedPair) -> None:
        place = PairPlace(CASE.id, number, server, stage)
        self._pairs.append(records.pair(_line(played, place)))

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
            "outcome": decision.decide(self.check).outcome,
            "taken": len(pairs),
            "interference": len(discarded),
            "change_of_discarded": float(np.median(discarded)) if discarded else None,
        }


def _run_checks(
    comparison: Comparison,
    checks: Sequence[_Suite],
    take: Callable[[servers.PairServer, _Suite], PlayedPair],
) -> None:
    """Runs checks until all are decided; a round's pairs are forked from one process."""
    number = 0
    with servers.opened(comparison, [CASE]) as pool:
        while any(check.next_pairs for check in checks):
            number += 1
            began = time.perf_counter()
            server = pool.next()
            for check in checks:
                next_pairs = check.next_pairs
                if next_pairs is not None:
                    check.add(number, server.number, next_pairs.stage, take(server, check))
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
