"""Runs a check from beginning to end: survey, facts, pairs, attribution, verdict.

The parent process runs this module. It imports neither torch nor any code of the repository.
"""

import platform
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console

from stepbench.errors import UsageError
from stepbench.process.extras import Extras
from stepbench.process.server import Server, ServerGoneError
from stepbench.regression import environments, facts, servers
from stepbench.regression.comparison import Comparison
from stepbench.regression.directory import CheckDirectory
from stepbench.regression.facts import FactFinder
from stepbench.regression.options import CheckOptions
from stepbench.regression.pairs import PairTaker
from stepbench.regression.progress import CheckProgress
from stepbench.regression.sides import opened
from stepbench.regression.survey import (
    check_spec,
    fatal_reason,
    refuse_changed_spec,
    refuse_unfit_effects,
    survey,
)
from stepbench.runner.terminal import format_duration
from stepbench_reports import regression
from stepbench_reports.regression.decision import Decision, decide
from stepbench_reports.regression.facts import failed_in_pairs
from stepbench_reports.regression.words import min_effects
from stepbench_reports.schema.check import (
    SIDES,
    AloneFact,
    BeginFact,
    ChangesFact,
    CheckSpec,
    CompileFact,
    EndFact,
    FatalFact,
    OperatorsFact,
    ParityFact,
    SideName,
)
from stepbench_reports.schema.end_reason import EndReason
from stepbench_reports.schema.paths import relative_path
from stepbench_reports.wording.with_noun import with_noun

if TYPE_CHECKING:
    from stepbench.config.case import Case

MAX_ATTRIBUTED = 4
"""The largest number of cases whose operators are traced, the slowest first."""
FACTS_SHARE = 0.3
"""The share of the budget after which no more facts are collected."""


def run(
    options: CheckOptions,
    directory: CheckDirectory,
    arguments: Sequence[str],
    console: Console,
    serve: Callable[[], Server] | None = None,
) -> Decision:
    """Runs or resumes a check, and writes its reports.

    Args:
        options: The check's options.
        directory: The check's directory.
        arguments: The command line, for the record.
        console: The terminal that shows progress.
        serve: Starts servers of another kind than fork servers; see `Comparison`.

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
            serve,
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
        self._import_s = 0.0

    @property
    def _directory(self) -> CheckDirectory:
        return self._comparison.directory

    def run(self) -> Decision:
        """Runs all parts of the check; after Ctrl-C, reports the results so far."""
        end_reason, fatal = EndReason.INTERRUPTED, None
        comparison = self._comparison
        try:
            with facts.opened(comparison, comparison.options.run.matrix.cases) as finder:
                fatal = self._prepare(finder)
                if fatal is None:
                    end_reason, fatal = self._measure(finder)
                if fatal is None:
                    self._run_failed_alone(finder)
                    self._attribute(finder)
        except KeyboardInterrupt:
            if self._directory.read_spec() is None:
                raise
            python = comparison.options.base_python
            again = "" if python is None else f" --base-python {python}"
            self._progress.line(
                "interrupted: ", f"resume with --resume {self._directory.path}{again}"
            )
        if fatal is not None:
            end_reason = EndReason.FATAL
            self._directory.add_fact(FatalFact(reason=fatal))
        self._directory.add_fact(
            EndFact(
                why=end_reason,
                elapsed_s=time.monotonic() - self._began,
                budget_s=comparison.options.budget_s,
                import_s=self._import_s,
            )
        )
        return regression.write(self._directory.path)

    # --- before anything is measured -------------------------------------------------------------

    def _prepare(self, finder: FactFinder) -> str | None:
        """Surveys both sides; returns the reason if nothing can be compared, or `None`."""
        comparison, progress = self._comparison, self._progress
        with progress.shown():
            survey_result = survey(comparison, finder, progress)
        refuse_unfit_effects(comparison.options.min_effects, survey_result.cases)
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
        cases = with_noun(len(self._cases), "case")
        line(
            f"comparing {cases}; smallest slowdown to detect: {min_effects(spec)} of the "
            f"step; results in {relative_path(self._directory.path)}"
        )
        for failing in spec.failing:
            line(f"  {failing.case}: ", f"fails in head: {failing.reason}", "red")
        for unmeasured in spec.unmeasured:
            line(f"  {unmeasured.case}: ", f"not compared: {unmeasured.reason}", "yellow")

    # --- pairs, and the facts beside them --------------------------------------------------------

    def _measure(self, finder: FactFinder) -> tuple[EndReason, str | None]:
        """Measures facts, and takes pairs.

        The servers of pairs import while parity is judged, which times nothing.

        Returns:
            The reason for the end; and the reason if nothing more can be compared, or `None`.
        """
        taker = PairTaker(self._comparison, self._progress, self._cases)
        if not taker.takes_any:
            self._measure_facts(finder, None)
            return taker.end_reason, taker.fatal_reason
        cases = tuple(self._cases.values())
        with servers.opened(self._comparison, cases, taker.next_server) as pool:
            try:
                self._measure_facts(finder, pool)
                return taker.take(pool)
            finally:
                self._import_s = pool.import_s
                waited = format_duration(pool.import_s)
                self._progress.line(f"pairs waited {waited} for servers that import torch")

    def _measure_facts(self, finder: FactFinder, pool: servers.ServerPool | None) -> None:
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
        progress = self._progress
        with progress.shown():
            for cases in to_judge.values():
                if progress.spent > FACTS_SHARE:
                    self._say_what_is_left_out("parity is judged")
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
            if pool is not None:
                progress.set_prefix("importing")
                progress.show_activity("importing torch")
                pool.wait_until_ready()  # imports would disturb what is timed from here on
            for case in to_compile:
                if progress.spent > FACTS_SHARE:
                    self._say_what_is_left_out("compiling is timed")
                    break
                progress.set_prefix(f"compiling {case.id}")
                times = finder.compile_times(case, progress.show_activity)
                if times is not None:
                    self._directory.add_fact(times)

    def _say_what_is_left_out(self, what: str) -> None:
        self._progress.line(
            "note: ",
            f"{what} in no further case, since {FACTS_SHARE:.0%} of the time is spent before any "
            f"pair was taken; give more with --budget",
            "yellow",
        )

    def _attribute(self, finder: FactFinder) -> None:
        """Traces the slowed cases, at most `MAX_ATTRIBUTED`, on both sides."""
        decision = decide(regression.load(self._directory.path))
        traced = {(fact.case, fact.side) for fact in decision.check.facts_of(OperatorsFact)}
        slowed = dict.fromkeys(finding.row.case for finding in decision.regressions)
        cases = [self._cases[name] for name in slowed if name in self._cases][:MAX_ATTRIBUTED]
        to_trace = [(c, side) for c in cases for side in SIDES if (c.id, side) not in traced]
        if to_trace and not any(True for _ in decision.check.facts_of(ChangesFact)):
            lines = self._comparison.sides.changed_lines(self._directory.path)
            self._directory.add_fact(ChangesFact(lines=lines))
        with self._progress.shown():
            for case, side in to_trace:
                self._progress.set_prefix(f"{case.id}, {side}")
                try:
                    fact = finder.operators(side, case, self._progress.show_activity)
                except ServerGoneError as error:  # what is confirmed stays so
                    self._progress.line("note: ", f"the cause was not traced: {error}", "yellow")
                    return
                if fact is not None:
                    self._directory.add_fact(fact)

    def _run_failed_alone(self, finder: FactFinder) -> None:
        """Runs each side alone if pairs failed, to tell a failing side from a lack of memory."""
        check = regression.load(self._directory.path)
        done = {fact.case for fact in check.facts_of(AloneFact)}
        names = [name for name in failed_in_pairs(check) if name not in done]
        with self._progress.shown():
            for case in [self._cases[name] for name in names]:
                reasons: dict[SideName, str | None] = {}
                for side in SIDES:
                    self._progress.set_prefix(f"{case.id}, {side} alone")
                    reasons[side] = finder.run_alone(side, case, self._progress.show_activity)
                self._directory.add_fact(
                    AloneFact(case=case.id, base=reasons["base"], head=reasons["head"])
                )
