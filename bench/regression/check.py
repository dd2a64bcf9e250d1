"""A check from beginning to end: survey, facts, rounds of pairs, attribution, verdict.

This is the parent's side. It never imports torch, nor any code of the repository.
"""

import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.errors import UsageError
from bench.progress import short
from bench.regression import environments, facts, git, rounds
from bench.regression.comparison import Comparison
from bench.regression.directory import CheckDirectory
from bench.regression.options import CheckOptions
from bench.regression.pair import SIDES, Pair
from bench.regression.progress import CheckProgress
from bench.regression.question import fatal as fatal_of
from bench.regression.question import look, not_its_own, question, refuse_another
from bench.regression.sides import opened
from reports import regression
from reports.regression.decision import Decision, decide
from reports.regression.facts import failed_in_pairs
from reports.regression.records import Pair as RecordedPair
from reports.regression.screening import Screening

if TYPE_CHECKING:
    from bench.case import Case

MOST_ATTRIBUTED = 4
"""Operators are looked at in so many cases, the worst first."""
FACTS_SHARE, SCREEN_SHARE = 0.3, 0.6
"""Facts are looked for while no more than this share of the budget is spent; and rows are screened,
once some are flagged, so that there is time left to confirm these."""
DONE, OUT_OF_TIME, INTERRUPTED, FATAL = "done", "budget", "interrupted", "fatal"


def run(
    asked: CheckOptions, directory: CheckDirectory, arguments: Sequence[str], console: Console
) -> Decision:
    """Runs a check, or goes on with one, and writes what it came to.

    Args:
        asked: What to check.
        directory: Where what is found is kept.
        arguments: The command line, for the record.
        console: Where progress is told.

    Raises:
        UsageError: Something that was asked for cannot be done.
    """
    if platform.system() != "Linux":
        raise UsageError(
            f"bench.regression: both sides of a pair are forked from one process, which "
            f"{platform.system()} cannot do safely; run the check on Linux"
        )
    progress = CheckProgress(console, asked.budget_s, time.monotonic() + asked.budget_s)
    with opened(asked, directory.path) as sides, _other(asked) as environment:
        comparison = Comparison(
            asked, sides, directory, None if environment is None else environment.server
        )
        return Check(comparison, arguments, progress, environment).run()


def _other(asked: CheckOptions) -> AbstractContextManager[environments.Environment | None]:
    return nullcontext() if asked.base_python is None else environments.other(asked.base_python)


class Check:
    """A check under way.

    Args:
        comparison: What is compared.
        arguments: The command line, for the record.
        progress: Tells how it goes on.
        environment: Base's own, where it has one.
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
        """Goes through all of it; Ctrl-C ends it early, with what there is by then."""
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
            if self._directory.question() is None:
                raise
            self._progress.line("interrupted: ", f"go on with --resume {self._directory.path}")
        if fatal is not None:
            ended = FATAL
            self._directory.add_fact("fatal", reason=fatal)
        self._directory.add_fact(
            "end",
            why=ended,
            elapsed_s=time.monotonic() - self._began,
            budget_s=self._comparison.asked.budget_s,
        )
        return regression.write(self._directory.path)

    # --- before anything is measured -------------------------------------------------------------

    def _prepare(self) -> str | None:
        """Looks at both sides; why nothing can be compared, where nothing can."""
        comparison, progress = self._comparison, self._progress
        cases = comparison.asked.run.matrix.cases
        with progress.shown(), facts.opened(comparison, cases) as finder:
            looked = look(comparison, finder, progress)
        self._comparison = comparison.with_packages(looked.surveys)
        others = None if self._environment is None else self._environment.facts
        asked = question(self._comparison, looked, self._arguments, others)
        stored = self._directory.question()
        if stored is None:
            self._directory.ask(asked)
        else:
            refuse_another(self._directory.path, stored, asked)
        self._directory.add_fact("begin")
        self._cases = {case.id: case for case in looked.comparable}
        self._introduce(asked)
        return fatal_of(self._comparison, looked)

    def _introduce(self, question: Mapping[str, Any]) -> None:
        line = self._progress.line
        torch = {side: question["sides"][side]["packages"].get("torch", "?") for side in SIDES}
        for side in SIDES:
            described = question["sides"][side]["described"]
            line(f"{side}: ", f"{described}, torch {torch[side]}", "bold")
        for note in question["notes"]:
            line("note: ", note, "yellow")
        cases = "a case" if len(self._cases) == 1 else f"{len(self._cases)} cases"
        line(
            f"{cases} compared; a slowdown of {100 * question['smallest']:.3g} % of the step is "
            f"looked for; results in {short(self._directory.path)}"
        )
        for each in question["failing"]:
            line(f"  {each['case']}: ", f"fails in head: {each['reason']}", "red")
        for each in question["unmeasured"]:
            line(f"  {each['case']}: ", f"not compared: {each['reason']}", "yellow")

    # --- apart from the pairs --------------------------------------------------------------------

    def _find_facts(self) -> None:
        known = regression.load(self._directory.path)
        judged = {case for fact in known.found("parity") for case in fact["cases"]}
        compiled = {fact["case"] for fact in known.found("compile")}
        alike: dict[Case, list[Case]] = {}
        for case in self._cases.values():
            if self._comparison.asked.run.parity is not None and case.id not in judged:
                alike.setdefault(case.arithmetic, []).append(case)
        to_compile = [
            case
            for case in {c.compiled_as: c for c in reversed(self._cases.values())}.values()
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
                self._directory.add_fact("parity", **found)
                if found["head"] != "pass":
                    progress.line(
                        f"  {cases[0].id}: parity: ",
                        f"{found['head']} in head, {found['base']} in base: {found['reason']}",
                        "red" if found["base"] == "pass" else "yellow",
                    )
            for case in to_compile:
                if progress.spent > FACTS_SHARE:
                    break
                progress.at(f"compiling {case.id}")
                times = finder.compile_times(case, progress.doing)
                if times:
                    self._directory.add_fact("compile", case=case.id, seconds=times)

    def _attribute(self) -> None:
        """Takes traces of the cases that became slower, on both sides."""
        decision = decide(regression.load(self._directory.path))
        known = {(fact["case"], fact["side"]) for fact in decision.check.found("operators")}
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
                    self._directory.add_fact("operators", case=case.id, side=side, breakdown=found)

    def _settle_failures(self) -> None:
        """Runs each side alone where pairs failed: whether it was a side, or both at once."""
        check = regression.load(self._directory.path)
        known = {fact["case"] for fact in check.found("alone")}
        names = [name for name in failed_in_pairs(check) if name not in known]
        if not names:
            return
        cases = [self._cases[name] for name in names]
        with self._progress.shown(), facts.opened(self._comparison, cases) as finder:
            for case in cases:
                found = {}
                for side in SIDES:
                    self._progress.at(f"{case.id}, {side} alone")
                    found[side] = finder.alone(side, case, self._progress.doing)
                self._directory.add_fact("alone", case=case.id, **found)

    # --- pairs -----------------------------------------------------------------------------------

    def _take_rounds(self) -> tuple[str, str | None]:
        """Takes pairs until all is decided, or the time is up.

        Returns:
            Which of the two it was; and why nothing can be compared, where that turned out.
        """
        screening = self._standing()
        while True:
            check = screening.check
            if self._progress.spent > SCREEN_SHARE and screening.to_close:
                self._directory.add_fact("screened", pairs=len(check.pairs))
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
        """How far the check has got, by what it has recorded."""
        return Screening(regression.load(self._directory.path))

    def _strayed(self, pairs: Sequence[RecordedPair]) -> str | None:
        """Why nothing can be compared any more, where that turned out while pairs were taken."""
        for pair in pairs:
            for side, told in pair.told.items():
                if told["foreign"]:
                    return not_its_own(side, told["foreign"])
        sides = self._comparison.sides
        if sides.fingerprint is None:
            return None
        if git.fingerprint(sides.head.tree.root, self._directory.path) != sides.fingerprint:
            return "head's files changed while they were measured; check again, and leave them be"
        return None

    def _round(self, number: int, stage: str, names: Sequence[str]) -> bool:
        """Takes a pair of each of some cases; whether there was time for all."""
        progress = self._progress
        cases = [self._cases[name] for name in names]
        if time.monotonic() + progress.longest_s() > progress.until:
            return False
        with progress.shown():
            progress.at(f"round {number}")
            progress.doing("importing torch")
            with rounds.opened(self._comparison, cases) as taking:
                for case in cases:
                    if time.monotonic() + progress.longest_s() > progress.until:
                        return False
                    progress.at(f"round {number}, {case.id}")
                    began = time.monotonic()
                    found = taking.pair(case, progress.doing)
                    self._directory.add_pair(
                        {"case": case.id, "round": number, "stage": stage, **found.to_json()}
                    )
                    if isinstance(found, Pair):
                        self._comparison = self._comparison.with_packages(found.sides)
                    else:
                        progress.line(
                            f"  {case.id}: ", f"{found.side} failed: {found.reason}", "red"
                        )
                    progress.took(time.monotonic() - began)
        return True
