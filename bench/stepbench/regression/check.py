"""Runs a check from beginning to end: survey, facts, rounds of pairs, attribution, verdict.

The parent process runs this module. It imports neither torch nor any code of the repository.
"""

import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console

from stepbench.errors import UsageError
from stepbench.process.extras import Extras
from stepbench.regression import environments, facts, git, servers
from stepbench.regression.comparison import Comparison
from stepbench.regression.directory import CheckDirectory
from stepbench.regression.options import CheckOptions
from stepbench.regression.pair import TakenPair, pair_line
from stepbench.regression.progress import CheckProgress
from stepbench.regression.sides import opened
from stepbench.regression.survey import (
    check_spec,
    fatal_reason,
    foreign_modules_message,
    refuse_changed_spec,
    survey,
)
from stepbench.runner.terminal import relative_path
from stepbench_reports import regression
from stepbench_reports.regression.decision import Decision, decide
from stepbench_reports.regression.facts import failed_in_pairs
from stepbench_reports.regression.records import Pair as RecordedPair
from stepbench_reports.regression.screening import Screening
from stepbench_reports.schema.check import (
    SIDES,
    AloneFact,
    BeginFact,
    CheckSpec,
    CompileFact,
    EndFact,
    FatalFact,
    OperatorsFact,
    ParityFact,
    ScreenedFact,
    SideName,
    Stage,
)

if TYPE_CHECKING:
    from stepbench.config.case import Case

MAX_ATTRIBUTED = 4
"""The largest number of cases whose operators are traced, the slowest first."""
FACTS_SHARE, SCREEN_SHARE = 0.3, 0.6
"""The shares of the budget after which no more facts are collected, and no more rows are screened
if some are flagged. The rest of the budget is for confirming the flagged rows."""
DONE, OUT_OF_TIME, INTERRUPTED, FATAL = "done", "budget", "interrupted", "fatal"


def run(
    options: CheckOptions, directory: CheckDirectory, arguments: Sequence[str], console: Console
) -> Decision:
    """Runs or resumes a check, and writes its reports.

    Args:
        options: The check's options.
        directory: The check's directory.
        arguments: The command line, for the record.
        console: The terminal that shows progress.

    Raises:
        UsageError: An option cannot be satisfied.
    """
    if platform.system() != "Linux":
        raise UsageError(
            f"stepbench regression: both sides of a pair are forked from one process, which "
            f"{platform.system()} cannot do safely; run the check on Linux"
        )
    progress = CheckProgress(console, options.budget_s, time.monotonic() + options.budget_s)
    with opened(options, directory.path) as sides, _open_base_environment(options) as environment:
        comparison = Comparison(
            options,
            sides,
            directory,
            None if environment is None else environment.server,
            Extras(report=lambda note: progress.line("note: ", note, "yellow")),
        )
        return CheckRunner(comparison, arguments, progress, environment).run()


def _open_base_environment(
    options: CheckOptions,
) -> AbstractContextManager[environments.Environment | None]:
    python = options.base_python
    return nullcontext() if python is None else environments.opened(python)


class CheckRunner:
    """A check under way.

    Args:
        comparison: Both sides, the cases and the directory.
        arguments: The command line, for the record.
        progress: Shows the progress in the terminal.
        environment: Base's environment; `None` if base runs in head's.
    """

    def __init__(
        self,
        comparison: Comparison,
        arguments: Sequence[str],
        progress: CheckProgress,
        environment: environments.Environment | None,
    ) -> None:
        self._comparison = comparison
        self._arguments = arguments
        self._progress = progress
        self._environment = environment
        self._began = time.monotonic()
        self._cases: dict[str, Case] = {}

    @property
    def _directory(self) -> CheckDirectory:
        return self._comparison.directory

    def run(self) -> Decision:
        """Runs all parts of the check; after Ctrl-C, reports the results so far."""
        end_reason, fatal = INTERRUPTED, None
        try:
            fatal = self._prepare()
            if fatal is None:
                self._measure_facts()
                end_reason, fatal = self._take_pairs()
            if fatal is None:
                self._run_failed_alone()
                self._attribute()
        except KeyboardInterrupt:
            if self._directory.read_spec() is None:
                raise
            self._progress.line("interrupted: ", f"resume with --resume {self._directory.path}")
        if fatal is not None:
            end_reason = FATAL
            self._directory.add_fact(FatalFact(reason=fatal))
        self._directory.add_fact(
            EndFact(
                why=end_reason,
                elapsed_s=time.monotonic() - self._began,
                budget_s=self._comparison.options.budget_s,
            )
        )
        return regression.write(self._directory.path)

    # --- before anything is measured -------------------------------------------------------------

    def _prepare(self) -> str | None:
        """Surveys both sides; returns the reason if nothing can be compared, or `None`."""
        comparison, progress = self._comparison, self._progress
        cases = comparison.options.run.matrix.cases
        with progress.shown(), facts.opened(comparison, cases) as finder:
            survey_result = survey(comparison, finder, progress)
        comparison.add_extras(survey_result.surveys)
        base_packages = None if self._environment is None else self._environment.facts
        spec = check_spec(comparison, survey_result, self._arguments, base_packages)
        stored = self._directory.read_spec()
        if stored is None:
            self._directory.write_spec(spec)
        else:
            refuse_changed_spec(self._directory.path, stored, spec)
        self._directory.add_fact(BeginFact())
        self._cases = {case.id: case for case in survey_result.comparable}
        self._print_header(spec)
        return fatal_reason(self._comparison, survey_result)

    def _print_header(self, spec: CheckSpec) -> None:
        line = self._progress.line
        for side in SIDES:
            facts_of_side = spec.sides[side]
            torch = facts_of_side.packages.get("torch", "?")
            line(f"{side}: ", f"{facts_of_side.described}, torch {torch}", "bold")
        for note in spec.notes:
            line("note: ", note, "yellow")
        cases = "1 case" if len(self._cases) == 1 else f"{len(self._cases)} cases"
        line(
            f"comparing {cases}; smallest slowdown to detect: {100 * spec.min_effect:.3g} % of the "
            f"step; results in {relative_path(self._directory.path)}"
        )
        for failing in spec.failing:
            line(f"  {failing.case}: ", f"fails in head: {failing.reason}", "red")
        for unmeasured in spec.unmeasured:
            line(f"  {unmeasured.case}: ", f"not compared: {unmeasured.reason}", "yellow")

    # --- outside the pairs -----------------------------------------------------------------------

    def _measure_facts(self) -> None:
        check = regression.load(self._directory.path)
        judged = {case for fact in check.facts_of(ParityFact) for case in fact.cases}
        compiled = {fact.case for fact in check.facts_of(CompileFact)}
        to_judge: dict[Case, list[Case]] = {}
        for case in self._cases.values():
            if self._comparison.options.run.parity is not None and case.id not in judged:
                to_judge.setdefault(case.numerics_key, []).append(case)
        to_compile = [
            case
            for case in {c.compile_key: c for c in reversed(self._cases.values())}.values()
            if case.has_compile_cache and case.id not in compiled
        ]
        if not to_judge and not to_compile:
            return
        progress, all_cases = self._progress, tuple(self._cases.values())
        with progress.shown(), facts.opened(self._comparison, all_cases) as finder:
            for cases in to_judge.values():
                if progress.spent > FACTS_SHARE:
                    break
                progress.set_prefix(f"parity of {cases[0].id}")
                parity = finder.parity(cases, progress.show_activity)
                self._directory.add_fact(parity)
                if parity.head != "pass":
                    progress.line(
                        f"  {cases[0].id}: parity: ",
                        f"{parity.head} in head, {parity.base} in base: {parity.reason}",
                        "red" if parity.base == "pass" else "yellow",
                    )
            for case in to_compile:
                if progress.spent > FACTS_SHARE:
                    break
                progress.set_prefix(f"compiling {case.id}")
                times = finder.compile_times(case, progress.show_activity)
                if times is not None:
                    self._directory.add_fact(times)

    def _attribute(self) -> None:
        """Traces the slowed cases, at most `MAX_ATTRIBUTED`, on both sides."""
        decision = decide(regression.load(self._directory.path))
        traced = {(fact.case, fact.side) for fact in decision.check.facts_of(OperatorsFact)}
        slowed = dict.fromkeys(finding.row.case for finding in decision.regressions)
        cases = [self._cases[name] for name in slowed if name in self._cases][:MAX_ATTRIBUTED]
        to_trace = [(c, side) for c in cases for side in SIDES if (c.id, side) not in traced]
        if not to_trace:
            return
        with self._progress.shown(), facts.opened(self._comparison, cases) as finder:
            for case, side in to_trace:
                self._progress.set_prefix(f"{case.id}, {side}")
                breakdown = finder.operators(side, case, self._progress.show_activity)
                if breakdown is not None:
                    self._directory.add_fact(
                        OperatorsFact(case=case.id, side=side, breakdown=breakdown)
                    )

    def _run_failed_alone(self) -> None:
        """Runs each side alone if pairs failed, to tell a failing side from a lack of memory."""
        check = regression.load(self._directory.path)
        done = {fact.case for fact in check.facts_of(AloneFact)}
        names = [name for name in failed_in_pairs(check) if name not in done]
        if not names:
            return
        cases = [self._cases[name] for name in names]
        with self._progress.shown(), facts.opened(self._comparison, cases) as finder:
            for case in cases:
                reasons: dict[SideName, str | None] = {}
                for side in SIDES:
                    self._progress.set_prefix(f"{case.id}, {side} alone")
                    reasons[side] = finder.run_alone(side, case, self._progress.show_activity)
                self._directory.add_fact(
                    AloneFact(case=case.id, base=reasons["base"], head=reasons["head"])
                )

    # --- pairs -----------------------------------------------------------------------------------

    def _take_pairs(self) -> tuple[str, str | None]:
        """Takes pairs until every row is decided, or the budget is spent.

        Returns:
            `DONE` or `OUT_OF_TIME`; and the reason if nothing more can be compared, or `None`.
        """
        screening = self._load_screening()
        while True:
            check = screening.check
            if self._progress.spent > SCREEN_SHARE and screening.confirmation_waits:
                self._directory.add_fact(ScreenedFact(pairs=len(check.pairs)))
                self._progress.line(
                    "screening ends early, to leave time to confirm the flagged rows"
                )
                screening = self._load_screening()
            next_pairs, fatal = screening.next_pairs, self._stop_reason(check.pairs)
            if next_pairs is None or fatal is not None:
                return DONE, fatal
            number = 1 + max((pair.round for pair in check.pairs), default=0)
            if not self._take_round(number, next_pairs.stage, next_pairs.cases):
                return OUT_OF_TIME, None
            screening = self._load_screening()
            self._progress.round(number, next_pairs.stage, next_pairs.cases, screening)

    def _load_screening(self) -> Screening:
        """The state of the screening after the recorded pairs."""
        return Screening(regression.load(self._directory.path))

    def _stop_reason(self, pairs: Sequence[RecordedPair]) -> str | None:
        """The reason why nothing more can be compared; `None` if there is no such reason."""
        for pair in pairs:
            for side, end in pair.sides.items():
                if end.foreign:
                    return foreign_modules_message(side, end.foreign)
        sides = self._comparison.sides
        if sides.fingerprint is None:
            return None
        if git.fingerprint(sides.head.tree.root, self._directory.path) != sides.fingerprint:
            return "head's files changed during the check; check again without changing files"
        return None

    def _take_round(self, number: int, stage: Stage, names: Sequence[str]) -> bool:
        """Takes a pair of each named case; returns false if the budget is too short for all."""
        progress = self._progress
        cases = [self._cases[name] for name in names]
        if time.monotonic() + progress.longest_pair_s() > progress.until:
            return False
        with progress.shown():
            progress.set_prefix(f"round {number}")
            progress.show_activity("importing torch")
            with servers.opened(self._comparison, cases) as pair_servers:
                for case in cases:
                    if time.monotonic() + progress.longest_pair_s() > progress.until:
                        return False
                    progress.set_prefix(f"round {number}, {case.id}")
                    began = time.monotonic()
                    result = pair_servers.pair(case, progress.show_activity)
                    self._directory.add_pair(
                        pair_line(result, case=case.id, number=number, stage=stage)
                    )
                    if isinstance(result, TakenPair):
                        self._comparison.add_extras(result.sides)
                    else:
                        progress.line(
                            f"  {case.id}: ", f"{result.side} failed: {result.reason}", "red"
                        )
                    progress.add_pair_time(time.monotonic() - began)
        return True
