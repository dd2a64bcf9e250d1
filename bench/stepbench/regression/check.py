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
from stepbench.regression import environments, facts, git, servers
from stepbench.regression.comparison import Comparison
from stepbench.regression.directory import CheckDirectory
from stepbench.regression.options import CheckOptions
from stepbench.regression.pair import TakenPair, pair_line
from stepbench.regression.progress import CheckProgress
from stepbench.regression.sides import opened
from stepbench.regression.survey import check_spec, not_its_own, refuse_another, survey
from stepbench.regression.survey import fatal as fatal_of
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

MOST_ATTRIBUTED = 4
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
    with opened(options, directory.path) as sides, _base_environment(options) as environment:
        comparison = Comparison(
            options, sides, directory, None if environment is None else environment.server
        )
        return CheckRunner(comparison, arguments, progress, environment).run()


def _base_environment(
    options: CheckOptions,
) -> AbstractContextManager[environments.Environment | None]:
    python = options.base_python
    return nullcontext() if python is None else environments.other(python)


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
        ended, fatal = INTERRUPTED, None
        try:
            fatal = self._prepare()
            if fatal is None:
                self._find_facts()
                ended, fatal = self._take_rounds()
            if fatal is None:
                self._settle_failures()
                self._attribute()
        except KeyboardInterrupt:
            if self._directory.read_spec() is None:
                raise
            self._progress.line("interrupted: ", f"resume with --resume {self._directory.path}")
        if fatal is not None:
            ended = FATAL
            self._directory.add_fact(FatalFact(reason=fatal))
        self._directory.add_fact(
            EndFact(
                why=ended,
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
            surveyed = survey(comparison, finder, progress)
        self._comparison = comparison.with_packages(surveyed.surveys)
        base_packages = None if self._environment is None else self._environment.facts
        spec = check_spec(self._comparison, surveyed, self._arguments, base_packages)
        stored = self._directory.read_spec()
        if stored is None:
            self._directory.write_spec(spec)
        else:
            refuse_another(self._directory.path, stored, spec)
        self._directory.add_fact(BeginFact())
        self._cases = {case.id: case for case in surveyed.comparable}
        self._introduce(spec)
        return fatal_of(self._comparison, surveyed)

    def _introduce(self, spec: CheckSpec) -> None:
        line = self._progress.line
        for side in SIDES:
            facts_of_side = spec.sides[side]
            torch = facts_of_side.packages.get("torch", "?")
            line(f"{side}: ", f"{facts_of_side.described}, torch {torch}", "bold")
        for note in spec.notes:
            line("note: ", note, "yellow")
        cases = "a case" if len(self._cases) == 1 else f"{len(self._cases)} cases"
        line(
            f"{cases} compared; a slowdown of {100 * spec.smallest:.3g} % of the step is "
            f"looked for; results in {relative_path(self._directory.path)}"
        )
        for each in spec.failing:
            line(f"  {each.case}: ", f"fails in head: {each.reason}", "red")
        for each in spec.unmeasured:
            line(f"  {each.case}: ", f"not compared: {each.reason}", "yellow")

    # --- outside the pairs -----------------------------------------------------------------------

    def _find_facts(self) -> None:
        known = regression.load(self._directory.path)
        judged = {case for fact in known.found(ParityFact) for case in fact.cases}
        compiled = {fact.case for fact in known.found(CompileFact)}
        alike: dict[Case, list[Case]] = {}
        for case in self._cases.values():
            if self._comparison.options.run.parity is not None and case.id not in judged:
                alike.setdefault(case.numerics_key, []).append(case)
        to_compile = [
            case
            for case in {c.compile_key: c for c in reversed(self._cases.values())}.values()
            if case.has_compile_cache and case.id not in compiled
        ]
        if not alike and not to_compile:
            return
        progress, every = self._progress, tuple(self._cases.values())
        with progress.shown(), facts.opened(self._comparison, every) as finder:
            for cases in alike.values():
                if progress.spent > FACTS_SHARE:
                    break
                progress.at(f"parity of {cases[0].id}")
                found = finder.parity(cases, progress.doing)
                self._directory.add_fact(found)
                if found.head != "pass":
                    progress.line(
                        f"  {cases[0].id}: parity: ",
                        f"{found.head} in head, {found.base} in base: {found.reason}",
                        "red" if found.base == "pass" else "yellow",
                    )
            for case in to_compile:
                if progress.spent > FACTS_SHARE:
                    break
                progress.at(f"compiling {case.id}")
                times = finder.compile_times(case, progress.doing)
                if times is not None:
                    self._directory.add_fact(times)

    def _attribute(self) -> None:
        """Traces the slowed cases, at most `MOST_ATTRIBUTED`, on both sides."""
        decision = decide(regression.load(self._directory.path))
        known = {(fact.case, fact.side) for fact in decision.check.found(OperatorsFact)}
        worst = dict.fromkeys(each.row.case for each in decision.regressions)
        cases = [self._cases[name] for name in worst if name in self._cases][:MOST_ATTRIBUTED]
        wanted = [(c, side) for c in cases for side in SIDES if (c.id, side) not in known]
        if not wanted:
            return
        with self._progress.shown(), facts.opened(self._comparison, cases) as finder:
            for case, side in wanted:
                self._progress.at(f"{case.id}, {side}")
                found = finder.operators(side, case, self._progress.doing)
                if found is not None:
                    self._directory.add_fact(
                        OperatorsFact(case=case.id, side=side, breakdown=found)
                    )

    def _settle_failures(self) -> None:
        """Runs each side alone if pairs failed, to tell a failing side from a lack of memory."""
        check = regression.load(self._directory.path)
        known = {fact.case for fact in check.found(AloneFact)}
        names = [name for name in failed_in_pairs(check) if name not in known]
        if not names:
            return
        cases = [self._cases[name] for name in names]
        with self._progress.shown(), facts.opened(self._comparison, cases) as finder:
            for case in cases:
                reasons: dict[SideName, str | None] = {}
                for side in SIDES:
                    self._progress.at(f"{case.id}, {side} alone")
                    reasons[side] = finder.alone(side, case, self._progress.doing)
                self._directory.add_fact(
                    AloneFact(case=case.id, base=reasons["base"], head=reasons["head"])
                )

    # --- pairs -----------------------------------------------------------------------------------

    def _take_rounds(self) -> tuple[str, str | None]:
        """Takes pairs until every row is decided, or the budget is spent.

        Returns:
            `DONE` or `OUT_OF_TIME`; and the reason if nothing more can be compared, or `None`.
        """
        screening = self._standing()
        while True:
            check = screening.check
            if self._progress.spent > SCREEN_SHARE and screening.to_close:
                self._directory.add_fact(ScreenedFact(pairs=len(check.pairs)))
                self._progress.line("screening ends here, for time to confirm what was flagged")
                screening = self._standing()
            wanted, fatal = screening.wanted, self._strayed(check.pairs)
            if wanted is None or fatal is not None:
                return DONE, fatal
            number = 1 + max((pair.round for pair in check.pairs), default=0)
            if not self._round(number, wanted.stage, wanted.cases):
                return OUT_OF_TIME, None
            screening = self._standing()
            self._progress.round(number, wanted.stage, wanted.cases, screening)

    def _standing(self) -> Screening:
        """The state of the screening after the recorded pairs."""
        return Screening(regression.load(self._directory.path))

    def _strayed(self, pairs: Sequence[RecordedPair]) -> str | None:
        """The reason why nothing more can be compared; `None` if there is no such reason."""
        for pair in pairs:
            for side, end in pair.sides.items():
                if end.foreign:
                    return not_its_own(side, end.foreign)
        sides = self._comparison.sides
        if sides.fingerprint is None:
            return None
        if git.fingerprint(sides.head.tree.root, self._directory.path) != sides.fingerprint:
            return "head's files changed while they were measured; check again, and leave them be"
        return None

    def _round(self, number: int, stage: Stage, names: Sequence[str]) -> bool:
        """Takes a pair of each named case; returns false if the budget is too short for all."""
        progress = self._progress
        cases = [self._cases[name] for name in names]
        if time.monotonic() + progress.longest_s() > progress.until:
            return False
        with progress.shown():
            progress.at(f"round {number}")
            progress.doing("importing torch")
            with servers.opened(self._comparison, cases) as taking:
                for case in cases:
                    if time.monotonic() + progress.longest_s() > progress.until:
                        return False
                    progress.at(f"round {number}, {case.id}")
                    began = time.monotonic()
                    found = taking.pair(case, progress.doing)
                    self._directory.add_pair(
                        pair_line(found, case=case.id, number=number, stage=stage)
                    )
                    if isinstance(found, TakenPair):
                        self._comparison = self._comparison.with_packages(found.sides)
                    else:
                        progress.line(
                            f"  {case.id}: ", f"{found.side} failed: {found.reason}", "red"
                        )
                    progress.took(time.monotonic() - began)
        return True
