"""What is found out apart from the pairs: parity, compiling from an empty cache, operators."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from bench.case import Case
from bench.child import Job, Outcome, Server, Status
from bench.regression.comparison import Comparison
from bench.regression.pair import SIDES, Survey, Tracing
from bench.request import Examination
from reports.regression.facts import COMPILE_PAIRS, agreed_so_far

PRELOAD = ("bench.regression.operators", "bench.regression.side", "bench.parity")
PREFLIGHT_S = 1800.0
"""Data may have to be fetched or drawn first."""
RUN_IN = "bench.regression.side:run_in"
MORE_S = 120.0
"""A trace takes longer to write than a case does to run."""


@contextlib.contextmanager
def opened(comparison: Comparison, cases: Sequence[Case]) -> Iterator["FactFinder"]:
    """Finds facts about some cases, with a server for each side while the context lasts."""
    servers: dict[str, Server] = {}
    try:
        for side in SIDES:
            if side == "head" or comparison.sides.environments:
                servers[side] = comparison.server(side, PRELOAD, cases)
        yield FactFinder(comparison, servers)
    finally:
        for server in servers.values():
            server.close()


class FactFinder:
    """Asks the sides, one at a time.

    Args:
        comparison: What is compared.
        servers: A side's, or head's for both.
    """

    def __init__(self, comparison: Comparison, servers: dict[str, Server]) -> None:
        self._comparison = comparison
        self._servers = servers

    def survey(
        self, side: str, cases: Sequence[Case], on_progress: Callable[[str], None]
    ) -> Survey | str:
        """Tries a side's workloads and data; why it cannot be said, where its process died."""
        asked = tuple(self._comparison.side(side, case) for case in cases)
        job = Job("bench.regression.side:survey", (asked,))
        outcome = self._run(side, job, on_progress, PREFLIGHT_S)
        if outcome.status is not Status.OK:
            return outcome.reason or str(outcome.status)
        found: Survey = outcome.result
        return found

    def parity(self, cases: Sequence[Case], on_progress: Callable[[str], None]) -> dict[str, Any]:
        """Whether head trains as it should, and if it does not, whether base does.

        Args:
            cases: That compute the same.
            on_progress: Is told in a word what is being done.
        """
        case = cases[0].arithmetic
        head, reason = self._judged("head", case, on_progress)
        found = {"cases": [each.id for each in cases], "head": head, "reason": reason}
        if head != "pass":
            found["base"], _ = self._judged("base", case, on_progress)
        return found

    def _judged(
        self, side: str, case: Case, on_progress: Callable[[str], None]
    ) -> tuple[str, str | None]:
        parity = self._comparison.asked.run.parity
        if parity is None:
            raise RuntimeError("a check with --no-parity judges nothing")
        wrap = partial(
            Examination,
            parity=parity,
            references=self._comparison.directory.scratch("references", side),
        )
        asked = (self._comparison.side(side, case), "bench.parity:judge", wrap)
        outcome = self._run(side, Job(RUN_IN, asked), on_progress, parity.budget_s)
        if outcome.status is not Status.OK:
            return str(outcome.status), outcome.reason
        return str(outcome.result.verdict), outcome.result.reason

    def compile_times(self, case: Case, on_progress: Callable[[str], None]) -> list[list[float]]:
        """Seconds of a first step with an empty compile cache, base and head in turn.

        Pairs are taken while all so far differ by more than the margin: most often, one.
        """
        found: list[list[float]] = []
        for number in range(COMPILE_PAIRS):
            times = {}
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                shutil.rmtree(self._comparison.compile_cache(side, case), ignore_errors=True)
                asked = (self._comparison.side(side, case), "bench.cold:compile_cold")
                outcome = self._run(side, Job(RUN_IN, asked), on_progress)
                if outcome.status is not Status.OK:  # the pairs will say so
                    return found
                times[side] = outcome.result.first_step_s
            found.append([times[side] for side in SIDES])
            if not agreed_so_far(found):
                break
        return found

    def alone(self, side: str, case: Case, on_progress: Callable[[str], None]) -> str | None:
        """Why a side cannot run a case with nothing beside it; `None` where it can."""
        asked = self._comparison.side(side, case)
        outcome = self._run(side, Job("bench.regression.side:work_alone", (asked,)), on_progress)
        return None if outcome.status is Status.OK else outcome.reason or str(outcome.status)

    def operators(
        self, side: str, case: Case, on_progress: Callable[[str], None]
    ) -> dict[str, Any] | None:
        """A side's operators by phase; `None` where they could not be had."""
        place = self._comparison.directory.scratch("trace", side)
        wrap = partial(Tracing, scratch=place)
        asked = (self._comparison.side(side, case), "bench.regression.operators:operators", wrap)
        outcome = self._run(side, Job(RUN_IN, asked), on_progress, MORE_S)
        if outcome.status is not Status.OK:
            self._comparison.directory.log(f"{case.id}: {side}: no trace: {outcome.reason}")
            return None
        found: dict[str, Any] = outcome.result
        return found

    def _run(
        self, side: str, job: Job, on_progress: Callable[[str], None], more_s: float = 0.0
    ) -> Outcome:
        server = self._servers.get(side, self._servers["head"])
        return self._comparison.run(server, job, on_progress, more_s)
