"""Facts measured outside the pairs: parity, compiling from an empty cache, operators."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence

from stepbench.config.case import Case
from stepbench.config.requests import ParityRequest
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.regression.comparison import Comparison
from stepbench.regression.side_requests import SideJobRequest, Survey, TraceRequest
from stepbench_reports.regression.facts import COMPILE_PAIRS, compile_times_differ
from stepbench_reports.schema.check import SIDES, CompileFact, OperatorsFact, ParityFact, SideName
from stepbench_reports.schema.status import Status

PRELOAD = (
    "stepbench.regression.worker.operators",
    "stepbench.regression.worker.side",
    "stepbench.parity.judgement",
)
EXTRA_SURVEY_S = 1800.0
"""The time that a survey may take beyond a case's deadline, seconds. Data may have to be downloaded
or generated first."""
CALL_IN_SIDE = "stepbench.regression.worker.side:call_in_side"
EXTRA_TRACE_S = 120.0
"""The time that a trace may take beyond a case's deadline, seconds."""


@contextlib.contextmanager
def opened(comparison: Comparison, cases: Sequence[Case]) -> Iterator["FactFinder"]:
    """Opens a server for each environment while the context lasts, to measure facts of cases."""
    servers: dict[SideName, Server] = {}
    try:
        for side in SIDES:
            if side == "head" or comparison.sides.two_environments:
                servers[side] = comparison.server(side, PRELOAD, cases)
        yield FactFinder(comparison, servers)
    finally:
        for server in servers.values():
            server.close()


class FactFinder:
    """Measures facts of the sides, one side at a time.

    Args:
        comparison: Both sides, the cases and the directory.
        servers: The server of each side; only head's if both sides share an environment.
    """

    def __init__(self, comparison: Comparison, servers: dict[SideName, Server]) -> None:
        self._comparison = comparison
        self._servers = servers

    def survey(
        self, side: SideName, cases: Sequence[Case], on_progress: Callable[[str], None]
    ) -> Survey | str:
        """Tries a side's workloads and data; returns the reason if the side's process died."""
        requests = tuple(self._comparison.side_request(side, case) for case in cases)
        job = Job("stepbench.regression.worker.side:survey", (requests,))
        outcome = self._run(side, job, on_progress, EXTRA_SURVEY_S)
        if outcome.status is not Status.OK:
            return outcome.reason or str(outcome.status)
        survey: Survey = outcome.result
        return survey

    def parity(self, cases: Sequence[Case], on_progress: Callable[[str], None]) -> ParityFact:
        """Judges head's parity, and base's if head's does not pass.

        Args:
            cases: Cases with the same numerics.
            on_progress: Called with a few words on the current activity.
        """
        judged_case = cases[0].numerics_key
        head, reason = self._judge("head", judged_case, on_progress)
        base = None if head == "pass" else self._judge("base", judged_case, on_progress)[0]
        return ParityFact(
            cases=tuple(case.id for case in cases), head=head, reason=reason, base=base
        )

    def _judge(
        self, side: SideName, case: Case, on_progress: Callable[[str], None]
    ) -> tuple[str, str | None]:
        parity = self._comparison.options.run.parity
        if parity is None:
            raise RuntimeError("--no-parity: parity is not checked")
        request = ParityRequest(
            self._comparison.side_request(side, case).request,
            parity,
            self._comparison.directory.scratch("references", side),
        )
        job = self._job(side, "stepbench.parity.judgement:judge", request)
        outcome = self._run(side, job, on_progress, parity.budget_s)
        if outcome.status is not Status.OK:
            return str(outcome.status), outcome.reason
        return str(outcome.result.verdict), outcome.result.reason

    def compile_times(self, case: Case, on_progress: Callable[[str], None]) -> CompileFact | None:
        """Times a first step with an empty compile cache, base and head in turn.

        Takes up to `COMPILE_PAIRS` pairs, as long as all differ by more than the margin in one
        direction: usually one pair.

        Returns:
            The times; `None` if a side failed in the first pair.
        """
        pairs = self._compile_pairs(case, on_progress)
        return CompileFact(case=case.id, seconds=tuple(pairs)) if pairs else None

    def _compile_pairs(
        self, case: Case, on_progress: Callable[[str], None]
    ) -> list[tuple[float, float]]:
        pairs: list[tuple[float, float]] = []
        for number in range(COMPILE_PAIRS):
            times: dict[SideName, float] = {}
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                shutil.rmtree(self._comparison.compile_cache(side, case), ignore_errors=True)
                request = self._comparison.side_request(side, case).request
                job = self._job(side, "stepbench.measurement.cold_start:compile_cold", request)
                outcome = self._run(side, job, on_progress)
                if outcome.status is not Status.OK:  # the pairs will report it
                    return pairs
                times[side] = outcome.result.first_step_s
            pairs.append((times["base"], times["head"]))
            if not compile_times_differ(pairs):
                break
        return pairs

    def run_alone(
        self, side: SideName, case: Case, on_progress: Callable[[str], None]
    ) -> str | None:
        """Runs a side without the opposite side; returns the reason if it fails, or `None`."""
        request = self._comparison.side_request(side, case)
        job = Job("stepbench.regression.worker.side:run_alone", (request,))
        outcome = self._run(side, job, on_progress)
        return None if outcome.status is Status.OK else outcome.reason or str(outcome.status)

    def operators(
        self, side: SideName, case: Case, on_progress: Callable[[str], None]
    ) -> OperatorsFact | None:
        """Traces a side's operators by phase; returns `None` if the trace failed."""
        side_request = self._comparison.side_request(side, case)
        request = TraceRequest(
            request=side_request.request,
            case=case.id,
            tree=side_request.tree,
            scratch=self._comparison.directory.scratch("trace", side),
        )
        job = self._job(side, "stepbench.regression.worker.operators:operators", request)
        outcome = self._run(side, job, on_progress, EXTRA_TRACE_S)
        if outcome.status is not Status.OK:
            self._comparison.directory.log(f"{case.id}: {side}: no trace: {outcome.reason}")
            return None
        fact: OperatorsFact = outcome.result
        return fact

    def _job(self, side: SideName, function: str, request: SideJobRequest) -> Job:
        """A job that calls a function of stepbench in a side's process."""
        return Job(CALL_IN_SIDE, (self._comparison.sides[side].tree, function, request))

    def _run(
        self, side: SideName, job: Job, on_progress: Callable[[str], None], extra_s: float = 0.0
    ) -> Outcome:
        server = self._servers.get(side, self._servers["head"])
        return self._comparison.run(server, job, on_progress, extra_s)
