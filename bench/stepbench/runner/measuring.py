"""Measures the cases of a run in groups; compiles a compiled case with an empty cache first."""

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import structs

from stepbench.config.case import Case
from stepbench.config.turns import PlayerFacts
from stepbench.process.job import Job, Outcome
from stepbench.runner import findings, outcomes
from stepbench.runner.jobs import CaseJobs
from stepbench.runner.progress import GenerationDone
from stepbench.scheduling.generation import Played
from stepbench.scheduling.group import Group, GroupOptions
from stepbench.scheduling.grouping import next_group
from stepbench.scheduling.player import Limits, Player
from stepbench_reports.analysis.generations import log_ratios
from stepbench_reports.schema.results import MeasurementRecord
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.stop_reason import StopReason

if TYPE_CHECKING:
    from pathlib import Path

PLAY = "stepbench.measurement.player:play"


class CaseMeasurer:
    """Measures the cases of a run, and keeps the measurements in the run directory.

    Args:
        jobs: Runs jobs in children.
        on_generation: Called after each generation of a group.
        on_compilation: Called after each compilation with an empty cache.
        left_behind: Takes a case's id; returns the processes that outlived it, by name.
    """

    def __init__(
        self,
        jobs: CaseJobs,
        on_generation: Callable[[GenerationDone], None],
        on_compilation: Callable[[], None],
        left_behind: Callable[[str], dict[str, int]],
    ) -> None:
        self._left_behind = left_behind
        self._on_compilation = on_compilation
        self._jobs = jobs
        self._on_generation = on_generation
        self._measured: dict[Case, MeasurementRecord] = {}
        self._compiled: dict[Path, Outcome] = {}
        self._groups = itertools.count()

    def adopt(self, cases: Iterable[Case]) -> None:
        """Takes over the measurements of the run that is resumed."""
        used = [-1]
        for case in cases:
            measurement = self._jobs.directory.read(MeasurementRecord, case)
            if measurement is None:
                continue
            if measurement.is_final and not measurement.is_partial:
                self._measured[case] = measurement
            if measurement.findings is not None:
                used += [turn.group for turn in measurement.findings.turns]
        self._groups = itertools.count(max(used) + 1)

    @property
    def count(self) -> int:
        """The number of cases measured so far."""
        return len(self._measured)

    def measured(self, case: Case) -> MeasurementRecord | None:
        """A case's measurement; `None` if it has not been taken yet."""
        return self._measured.get(case)

    def measure(self, cases: Sequence[Case]) -> Iterator[tuple[Case, MeasurementRecord]]:
        """Measures cases in turns, and yields each measurement once it is complete and written.

        Cases for which there is no place beside the others take turns among themselves later, with
        the first eager case, which links them to the others, and with their own variants; without
        these if there is no memory beside them.

        Args:
            cases: The cases, not measured yet.

        Raises:
            StoreError: A measurement cannot be written.
        """
        cold: dict[Case, Outcome] = {}
        waiting: list[Case] = []
        for case in cases:
            outcome = self._compile_cold(case)
            if outcome is not None and outcome.status is not Status.OK:
                yield case, self._keep(case, outcomes.case_measurement(case, outcome))
                continue
            if outcome is not None:
                cold[case] = outcome
            waiting.append(case)
        group: _GroupRun | None = None
        link = link_case(waiting)
        measured: list[Case] = []
        while waiting:
            players = next_group(waiting, link, measured, lambda case: case.variant_key)
            group = _GroupRun(self._jobs, next(self._groups), cold, self._on_generation, group)
            group.play(players, waiting)
            done = [case for case in players if case not in group.deferred]
            for case in done:
                measurement = self._keep(case, group.measurement(case))
                if case in waiting:
                    yield case, measurement
            if not set(done) & set(waiting):  # there is no memory beside those that play again
                link, measured = None, []
            elif link is not None:
                link = link if link in group.survivors else link_case(group.survivors)
                measured += [case for case in group.survivors if case not in measured]
            waiting = [case for case in waiting if case not in done]

    def _keep(self, case: Case, measurement: MeasurementRecord) -> MeasurementRecord:
        measurement = structs.replace(measurement, left_behind=self._left_behind(case.id))
        self._jobs.directory.write(measurement)
        self._measured[case] = measurement
        return measurement

    def _compile_cold(self, case: Case) -> Outcome | None:
        """Compiles a case with an empty cache; once for all cases that share the cache.

        Returns:
            The outcome; `None` if the case does not compile, or is refused.
        """
        if not case.has_compile_cache or case.overwrites_gradients:
            return None
        cache = self._jobs.compile_cache(case)
        if cache not in self._compiled:
            # An interrupted run may have left a part of the cache.
            shutil.rmtree(cache, ignore_errors=True)
            function = "stepbench.measurement.cold_start:compile_cold"
            self._compiled[cache] = self._jobs.run(Job(function, (self._jobs.request(case),)))
            self._on_compilation()
        return self._compiled[cache]


def link_case(cases: Sequence[Case]) -> Case | None:
    """The case that plays in every group: the first eager one, or else the first."""
    eager = (case for case in cases if case.compile == "off")
    return next(eager, next(iter(cases), None))


class _GroupRun:
    """The sampling of one group.

    Args:
        jobs: Makes the requests of the cases.
        number: The group's number in the run.
        cold: The outcomes of compiling with an empty cache, by case.
        on_generation: Called after each generation.
        before: The group before, in which some of the cases may have played.
    """

    def __init__(
        self,
        jobs: CaseJobs,
        number: int,
        cold: dict[Case, Outcome],
        on_generation: Callable[[GenerationDone], None],
        before: "_GroupRun | None" = None,
    ) -> None:
        self._before = before
        self._cases: tuple[Case, ...] = ()
        self._waiting: Sequence[Case] = ()
        self._on_generation = on_generation
        self._jobs = jobs
        self._number = number
        self._cold = cold
        self._sampled = findings.Sampled(
            number, (), StopReason.INTERRUPTED, jobs.options.sampling.rel_error
        )

    def play(self, cases: tuple[Case, ...], waiting: Sequence[Case]) -> None:
        """Plays all generations; after each, writes what the group has so far.

        Args:
            cases: The players, in the order in which they are admitted.
            waiting: All cases that are not measured yet.
        """
        self._cases, self._waiting = cases, waiting
        group = Group(cases, self._start, self._comparisons)
        options = GroupOptions.of(self._jobs.options.sampling)
        stopped = group.play(options, self._jobs.on_progress, self._add)
        self._sampled = dataclasses.replace(self._sampled, stopped=stopped)

    @property
    def deferred(self) -> tuple[Case, ...]:
        """The cases for which there was no memory beside the others."""
        return tuple(case for each in self._sampled.generations for case in each.deferred)

    @property
    def survivors(self) -> tuple[Case, ...]:
        """The cases that played to the end, in the order in which they were given."""
        generations = self._sampled.generations
        return tuple(
            case
            for case in self._cases
            if case in generations[-1].ready and case not in generations[-1].lost
        )

    def samplings(self, case: Case) -> tuple[findings.Sampled, ...]:
        """The sampling of each group in which a case has played, up to this one."""
        before = () if self._before is None else self._before.samplings(case)
        sampled = self._sampled_to_the_end(case)
        has_played = any(case in each.ready for each in sampled.generations)
        return (*before, sampled) if has_played and case not in self.deferred else before

    def _sampled_to_the_end(self, case: Case) -> findings.Sampled:
        """The sampling without the generation in which a case was silent for too long, if any."""
        generations = self._sampled.generations
        complete = tuple(itertools.takewhile(lambda each: case not in each.lost, generations))
        if len(complete) == len(generations):
            return self._sampled
        return dataclasses.replace(self._sampled, generations=complete, stopped=StopReason.SILENT)

    def _start(self, case: Case) -> Player[PlayerFacts]:
        options = self._jobs.options
        job = Job(PLAY, (self._jobs.request(case),), options.memory_limit_bytes, case.id)
        limits = Limits(options.deadline_s, self._jobs.on_progress)
        return Player(self._jobs.server, job, limits)

    def _add(self, generations: Sequence[Played[Case, PlayerFacts]], left: int) -> None:
        self._sampled = dataclasses.replace(self._sampled, generations=tuple(generations))
        last = generations[-1]
        later = [c for c in self._waiting if c in self.deferred or c not in self._cases]
        self._on_generation(
            GenerationDone(last.elapsed_s, last.number, left, len(last.ready), len(later))
        )
        for case in generations[-1].ready:
            self._jobs.directory.write(self.measurement(case))

    def _comparisons(self, generations: Sequence[Played[Case, PlayerFacts]]) -> list[list[float]]:
        """The log ratios of each case and its uncompiled one, or else of it and the first case.

        None for a single case, which then has the generations of the first stage.
        """
        cases = tuple(generations[-1].ready)
        sampled = dataclasses.replace(self._sampled, generations=generations)
        steps = {
            case: findings.steps_by_generation(
                findings.judged_turns(case, sampled), workers=bool(case.num_workers)
            )
            for case in cases
        }
        wanted = [
            (case, base)
            for case in cases
            for base in cases
            if base == case.changed(compile="off").normalized() and base != case
        ]
        wanted = wanted or [(case, cases[0]) for case in cases[1:]]
        return [log_ratios(steps[case], steps[base]) for case, base in wanted]

    def measurement(self, case: Case) -> MeasurementRecord:
        """A case's measurement after the generations so far, with those of earlier groups.

        A case that is silent for too long after a generation keeps what it had; one that fails
        cannot be relied on, and has no figures.
        """
        lost = [
            (each.number, each.lost[case])
            for each in self._sampled.generations
            if case in each.lost
        ]
        if lost and self._before is not None and self._before.samplings(case):
            return self._before.measurement(case)
        for number, outcome in lost:
            if number == 0:
                return outcomes.case_measurement(case, outcome)
            if outcome.status is not Status.TIMEOUT:
                reason = f"{outcome.reason}; in generation {number + 1}, not in those before"
                return outcomes.case_measurement(case, dataclasses.replace(outcome, reason=reason))
        samplings = self.samplings(case)
        first = samplings[0].generations[0]
        found = findings.findings(case, first.facts[case], first.ready[case], samplings)
        outcome = Outcome(
            Status.OK,
            found,
            start_s=first.start_s.get(case),
            elapsed_s=sum(sampled.case_s for sampled in samplings),
        )
        cold = self._cold.get(case)
        return outcomes.case_measurement(case, outcome, None if cold is None else cold.result)
