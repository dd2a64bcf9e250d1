"""Measures a script: alone, or unchanged beside variants with changed settings."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stepbench.config.case import Case
from stepbench.config.turns import PlayerFacts
from stepbench.errors import UsageError
from stepbench.interference.watch import usable_cores
from stepbench.process.job import Outcome
from stepbench.results.run_directory import RunDirectory
from stepbench.runner import findings, outcomes
from stepbench.runner.profiling import tensorboard_name
from stepbench.scheduling.generation import GenerationPlan, Played, play
from stepbench.scheduling.group import Group, GroupOptions
from stepbench.scheduling.player import Player, PlayerLostError
from stepbench.scheduling.rounds import LOADED, RoundPlan, TakenTurn
from stepbench.scripts.parity import ScriptParity
from stepbench.scripts.players import ScriptStarter
from stepbench.scripts.requests import ScriptEnd, ScriptTrace
from stepbench_reports.analysis.generations import log_ratios
from stepbench_reports.schema.axes import AxisValue
from stepbench_reports.schema.files import TRACE_SUFFIX
from stepbench_reports.schema.results import MeasurementRecord, ParityRecord, ProfileRecord
from stepbench_reports.schema.run import ProfilingOptions
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.stop_reason import StopReason
from stepbench_reports.wording.with_noun import with_noun

if TYPE_CHECKING:
    from stepbench.scripts.options import Changes

UNLIMITED_S = 1e8
"""The time of turns without `--max-time`, seconds."""
ALONE_ROUNDS = RoundPlan(kinds=LOADED, kinds_once=(), min_rounds=1)
GROUP_ROUNDS = RoundPlan(kinds=LOADED, kinds_once=())


def profile(
    starter: ScriptStarter, directory: RunDirectory, case: Case, options: ProfilingOptions
) -> ProfileRecord:
    """Runs a script once more, and traces some of its steps, unless that is done already.

    Args:
        starter: Starts scripts.
        directory: Receives the trace and the record.
        case: The case.
        options: The options of traces.
    """
    earlier = directory.read(ProfileRecord, case)
    if earlier is not None and earlier.is_final:
        return earlier
    changes = next(
        (
            with_effect(each, case)
            for each in starter.options.changes
            if case == case.changed(**each).normalized()
        ),
        {},
    )
    trace = ScriptTrace(
        name=case.id,
        steps=options.steps,
        trace=directory.traces / f"{case.id}{TRACE_SUFFIX}",
        tensorboard=directory.tensorboard / tensorboard_name(case),
        scratch=directory.scratch,
    )
    directory.traces.mkdir(exist_ok=True)
    starter.on_progress(f"{case.id}: profile")
    try:
        with starter.start(f"{case.id}-profile", changes, alone=True, trace=trace) as player:
            player.prepare(thorough=False)
            found = _script_end(player.finish(thorough=True)).profile
        outcome = Outcome(Status.OK, found)
        if found is None:
            outcome = Outcome(Status.ERROR, reason="the script ended before its trace was taken")
    except PlayerLostError as error:
        outcome = error.outcome
    record = outcomes.profile_record(case, outcome)
    directory.write(record)
    return record


@dataclass(frozen=True)
class MeasuredScript:
    """The result of measuring a script.

    Attributes:
        records: The measurement of each case; the unchanged script's first.
        parity: The comparison of each changed script's losses.
    """

    records: tuple[MeasurementRecord, ...]
    parity: tuple[ParityRecord, ...]


Announce = Callable[[Sequence[Case], Mapping[str, str]], None]
"""Takes the cases of a run once they are known, and the devices that torch can use."""


def measure_alone(
    starter: ScriptStarter, directory: RunDirectory, announce: Announce
) -> MeasuredScript:
    """Measures the unchanged script by itself, until it ends or its limit is reached.

    Args:
        starter: Starts scripts.
        directory: Receives the measurement.
        announce: Called with the case.

    Raises:
        UsageError: The script cannot be run.
    """
    options = starter.options
    name = options.script.shown
    sampling = options.sampling
    plan = GenerationPlan(
        number=0,
        turns_s=sampling.max_time_s if options.limited else UNLIMITED_S,
        steps=sampling.steps,
        thorough=True,
        cores=tuple(usable_cores()),
        rounds=ALONE_ROUNDS,
    )
    players: list[Any] = []

    def start(_: str) -> Player[PlayerFacts]:
        players.append(starter.start("output", {}, alone=True))
        return players[0]  # type: ignore[no-any-return]

    played = play(start, (name,), plan, random.Random(), starter.on_progress)  # noqa: S311
    if name in played.lost:
        return _lost(starter, directory, announce, played.lost[name])
    end = _script_end(played.facts[name])
    case = case_of(starter, end.axes)
    stopped = StopReason.SCRIPT_ENDED
    if end.script is not None and end.script.exit_code is None:
        stopped = StopReason.STEPS if sampling.steps is not None else StopReason.TIME
    if players[0].interrupted:
        stopped = StopReason.INTERRUPTED
        starter.interrupted = True
    sampled = findings.Sampled(0, (_of_cases(played, {name: case}),), stopped, sampling.rel_error)
    record = _record(case, sampled, played.start_s[name])
    announce((case,), end.devices)
    directory.write(record)
    return MeasuredScript((record,), ())


def _lost(
    starter: ScriptStarter, directory: RunDirectory, announce: Announce, outcome: Outcome
) -> MeasuredScript:
    """The result of a script that was lost before it could be measured."""
    if outcome.usage:
        raise UsageError(outcome.reason or "")
    case = case_of(starter, {})
    record = outcomes.case_measurement(case, outcome)
    announce((case,), {})
    directory.write(record)
    return MeasuredScript((record,), ())


def case_of(starter: ScriptStarter, axes: dict[str, AxisValue]) -> Case:
    """The case of a script with these values on the axes."""
    values: dict[str, Any] = {"batch_size": 1, **axes}
    return Case(workload=starter.options.script.shown, **values).normalized()


def measure_variants(
    starter: ScriptStarter, directory: RunDirectory, announce: Announce
) -> MeasuredScript:
    """Measures the unchanged script and variants of it with changed settings.

    Args:
        starter: Starts scripts.
        directory: Receives the measurements.
        announce: Called with the cases.

    Raises:
        UsageError: The script cannot be run, or a setting cannot be replaced in it.
    """
    measurer = VariantMeasurer(starter, directory)
    try:
        end = measurer.recognise()
    except PlayerLostError as error:
        return _lost(starter, directory, announce, error.outcome)
    announce(measurer.cases, end.devices)
    return measurer.measure()


class VariantMeasurer:
    """Measures the unchanged script and variants of it, which take turns.

    Args:
        starter: Starts scripts.
        directory: Receives the measurements.
    """

    def __init__(self, starter: ScriptStarter, directory: RunDirectory) -> None:
        self._starter = starter
        self._directory = directory
        self._changes: dict[Case, Changes] = {}
        self._ends: dict[Case, list[ScriptEnd]] = {}
        self._sampled = findings.Sampled(
            0, (), StopReason.INTERRUPTED, starter.options.sampling.rel_error
        )

    def recognise(self) -> ScriptEnd:
        """Runs the unchanged script until it is warm, and makes the cases.

        Raises:
            PlayerLostError: The script ended before it was warm.
        """
        starter = self._starter
        with starter.start("recognised", {}, alone=True) as player:
            player.prepare(thorough=True)
            end = _script_end(player.finish(thorough=True))
        unchanged = case_of(starter, end.axes)
        self._changes = {unchanged: {}}
        cases = [case_of(starter, {**end.axes, **each}) for each in starter.options.changes]
        _refuse_without_effect(starter.options.changes, cases)
        for case, changes in zip(cases, starter.options.changes, strict=True):
            self._changes.setdefault(case, with_effect(changes, case))
        self._ends[unchanged] = [end]
        return end

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases, the unchanged script's first."""
        return tuple(self._changes)

    def measure(self) -> MeasuredScript:
        """Measures all cases in generations of turns."""
        group = Group(self.cases, self._start, self._comparisons, GROUP_ROUNDS)
        options = GroupOptions.of(self._starter.options.sampling)
        try:
            stopped = group.play(options, self._starter.on_progress, self._add)
        except KeyboardInterrupt:
            if not self._sampled.generations:
                raise
            self._starter.interrupted = True
            stopped = StopReason.INTERRUPTED
        self._sampled = replace(self._sampled, stopped=stopped)
        records = tuple(self._write(case) for case in self.cases)
        return MeasuredScript(records, tuple(self._judgements(records)))

    def _start(self, case: Case) -> Player[PlayerFacts]:
        number = len(self._sampled.generations) + 1
        return self._starter.start(f"{case.id}-{number}", self._changes[case], alone=False)

    def _comparisons(self, played: Sequence[Played[Case, PlayerFacts]]) -> list[list[float]]:
        sampled = replace(self._sampled, generations=tuple(played))
        cases = [case for case in self.cases if case in played[-1].ready]
        steps = {
            case: findings.steps_by_generation(
                findings.judged_turns(case, sampled), workers=bool(case.num_workers)
            )
            for case in cases
        }
        base = self.cases[0]
        if base not in steps:  # it was lost
            return []
        return [log_ratios(steps[case], steps[base]) for case in cases if case != base]

    def _add(self, played: Sequence[Played[Case, PlayerFacts]], left: int) -> None:
        del left
        self._sampled = replace(self._sampled, generations=tuple(played))
        for case, facts in played[-1].facts.items():
            self._ends.setdefault(case, []).append(_script_end(facts))
        for case in self.cases:
            self._write(case)

    def _write(self, case: Case) -> MeasurementRecord:
        lost = [each.lost[case] for each in self._sampled.generations if case in each.lost]
        if lost:
            if lost[0].usage:
                raise UsageError(lost[0].reason or "")
            record = outcomes.case_measurement(case, lost[0])
        else:
            first = self._sampled.generations[0]
            if case not in first.ready:
                reason = "there is no memory beside the other scripts; vary fewer settings at once"
                record = outcomes.case_measurement(case, Outcome(Status.OOM, reason=reason))
            else:
                record = _record(case, self._sampled, first.start_s[case])
        self._directory.write(record)
        return record

    def _judgements(self, records: Sequence[MeasurementRecord]) -> list[ParityRecord]:
        """Compares the losses of each case that was measured with the unchanged script's."""
        base = self._ends[self.cases[0]]
        parity = ScriptParity([end.losses for end in base], [end.inputs for end in base])
        judged: list[ParityRecord] = []
        for case, record in zip(self.cases, records, strict=True):
            if case == self.cases[0] or record.status is not Status.OK:
                continue
            end = self._ends[case][0]
            judgement = parity.judge(case, end.losses, end.inputs)
            judged.append(outcomes.parity_record(case, Outcome(Status.OK, judgement)))
            self._directory.write(judged[-1])
        return judged


def with_effect(changes: "Changes", case: Case) -> "Changes":
    """The settings that make a difference in a case: without workers, theirs make none."""
    return {name: value for name, value in changes.items() if getattr(case, name) == value}


def _refuse_without_effect(changes: Sequence["Changes"], cases: Sequence[Case]) -> None:
    """Refuses settings that make no difference in any case.

    Raises:
        UsageError: There is such a setting.
    """
    wanted = {
        setting: case for each, case in zip(changes, cases, strict=True) for setting in each.items()
    }
    for each, case in zip(changes, cases, strict=True):
        for setting in with_effect(each, case).items():
            wanted.pop(setting, None)
    for (name, value), case in wanted.items():
        workers = with_noun(case.num_workers, "loader worker")
        raise UsageError(
            f"--set {name}={value}: makes no difference to this script with {workers} on "
            f"{case.device}; leave it out, or set num_workers, too"
        )


def _script_end(facts: PlayerFacts | None) -> ScriptEnd:
    if not isinstance(facts, ScriptEnd):
        raise TypeError(f"{facts!r}: is not the end of a script")
    return facts


def _of_cases(
    played: Played[str, PlayerFacts], cases: dict[str, Case]
) -> Played[Case, PlayerFacts]:
    """A generation whose players are named by their cases."""
    return Played(
        played.number,
        {cases[name]: ready for name, ready in played.ready.items()},
        tuple(
            TakenTurn(cases[turn.player], turn.round, turn.command, turn.result)
            for turn in played.turns
        ),
        {cases[name]: facts for name, facts in played.facts.items()},
        {cases[name]: lost for name, lost in played.lost.items()},
        tuple(cases[name] for name in played.deferred),
        {cases[name]: seconds for name, seconds in played.start_s.items()},
        played.elapsed_s,
    )


def _record(case: Case, sampled: findings.Sampled, start_s: float) -> MeasurementRecord:
    """The measurement of a case that was played to its end."""
    first = sampled.generations[0]
    facts = first.facts[case]
    found = findings.findings(case, facts, first.ready[case], (sampled,))
    if found is None:
        steps = 0 if facts.script is None else facts.script.steps
        ended = "" if facts.script is None else facts.script.ended
        reason = (
            f"{case.workload} {ended} after {steps} steps, before a turn could be taken; give it "
            f"arguments for a longer training"
        )
        return outcomes.case_measurement(case, Outcome(Status.ERROR, reason=reason))
    outcome = Outcome(Status.OK, found, start_s=start_s, elapsed_s=sampled.case_s)
    return outcomes.case_measurement(case, outcome)
