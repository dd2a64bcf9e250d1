"""Makes a case's findings from the facts of its player and the turns of all generations."""

import math
import statistics
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from msgspec import structs

from stepbench.config.case import Case
from stepbench.config.turns import PlayerFacts, Ready, Track, TurnKind
from stepbench.scheduling.generation import Played
from stepbench.scheduling.rounds import LOADED, TakenTurn
from stepbench_reports.analysis.generations import GenerationSteps, kept, mean_step
from stepbench_reports.analysis.launches import fixed_cost_s
from stepbench_reports.analysis.stats import finite_or_none
from stepbench_reports.read.turns import Turns
from stepbench_reports.schema import phases
from stepbench_reports.schema.machine_use import BlockNoise, Noise, Suspension
from stepbench_reports.schema.measurement import (
    Block,
    Findings,
    Laps,
    LaunchOverhead,
    SamplingFacts,
    TurnFacts,
)
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.schema.stop_reason import StopReason


@dataclass(frozen=True)
class JudgedTurn:
    """A turn of the case, and whether it counts.

    Attributes:
        group: The number of the turn's group in the run.
        generation: The number of the turn's generation in the group.
        turn: The turn.
        counts: False if the turn is left out.
    """

    group: int
    generation: int
    turn: TakenTurn[Case]
    counts: bool

    @property
    def loaded(self) -> bool:
        """True if the turn's batches came from the loader."""
        return self.turn.command.kind in LOADED

    @property
    def phases_s(self) -> dict[str, float]:
        """The time of each phase over all steps, seconds, by the decisive clock."""
        track = self.turn.result.device or self.turn.result.host or {}
        return {name: math.fsum(laps) for name, laps in track.items() if name != STEP}

    def record(self) -> TurnFacts:
        """The turn as a file records it."""
        command, result = self.turn.command, self.turn.result
        return TurnFacts(
            group=self.group,
            generation=self.generation,
            round=self.turn.round,
            kind=command.kind.value,
            steps=command.steps,
            elapsed_s=result.elapsed_s,
            counts=self.counts,
            compiled=result.compiled,
            suspended=_suspended(self.turn),
            run_delay=_delay(self.turn),
            probe_s=result.probe_s,
            phases_s=self.phases_s,
        )


def _delay(turn: TakenTurn[Case]) -> float | None:
    delay_s = turn.result.run_delay_s
    return None if delay_s is None else delay_s / turn.result.elapsed_s


def _strangers(turn: TakenTurn[Case]) -> float | None:
    """The share of the cores' time that other processes and the hypervisor took."""
    use = turn.result.machine_use
    if use is None or use.others is None:
        return None
    return use.others + (use.steal or 0.0)


def _stopped(turn: TakenTurn[Case]) -> float | None:
    """The time for which a CPU quota stopped the player, as a share of the turn's time."""
    use = turn.result.machine_use
    return None if use is None else use.quota_stopped


@dataclass(frozen=True)
class Sampled:
    """The sampling of a group.

    Attributes:
        group: The group's number in the run.
        generations: The generations that were played.
        stopped: Why there are no more.
        target: The wanted precision.
    """

    group: int
    generations: Sequence[Played[Case, PlayerFacts]]
    stopped: StopReason
    target: float

    @property
    def case_s(self) -> float:
        """Each player's share of the time that the generations took, seconds."""
        players = len(self.generations[0].ready)
        return math.fsum(played.elapsed_s for played in self.generations) / players


def _suspended(turn: TakenTurn[Case]) -> Suspension | None:
    use = turn.result.machine_use
    return None if use is None else use.suspended


def _is_exceptional(turn: TakenTurn[Case]) -> bool:
    """True if something was compiled in a turn, it was suspended, or the device was throttled."""
    use = turn.result.machine_use
    throttled = use is not None and use.throttled is not None
    return throttled or turn.result.compiled or _suspended(turn) is not None


def judged_turns(case: Case, sampled: Sampled) -> tuple[JudgedTurn, ...]:
    """The turns that a case has taken in a group, in order, each with whether it counts."""
    judged: list[JudgedTurn] = []
    for played in sampled.generations:
        turns = [turn for turn in played.turns if turn.player == case and not turn.result.reason]
        # Loader workers take cores only where batches are loaded: what is usual differs.
        left_out = {
            position for loaded in (True, False) for position in _left_out(turns, loaded=loaded)
        }
        judged += [
            JudgedTurn(
                sampled.group,
                played.number,
                turn,
                position not in left_out and not _is_exceptional(turn),
            )
            for position, turn in enumerate(turns)
        ]
    return tuple(judged)


def _left_out(turns: Sequence[TakenTurn[Case]], *, loaded: bool) -> Iterator[int]:
    """The positions of turns that are left out, of those whose batches were loaded or not."""
    alike = [n for n, turn in enumerate(turns) if (turn.command.kind in LOADED) is loaded]
    counts = kept(
        [_delay(turns[n]) for n in alike],
        [_strangers(turns[n]) for n in alike],
        [_stopped(turns[n]) for n in alike],
    )
    return (n for n, count in zip(alike, counts, strict=True) if not count)


def steps_by_generation(
    turns: Iterable[JudgedTurn], *, workers: bool
) -> Mapping[Hashable, GenerationSteps]:
    """Sums up the bare turns of a case by group and generation, as reports do."""
    return Turns(tuple(judged.record() for judged in turns), workers=workers).steps("bare")


def findings(
    case: Case, facts: PlayerFacts, ready: Ready, samplings: Sequence[Sampled]
) -> Findings | None:
    """Assembles a case's findings; `None` if the case has no lapped turn that counts.

    Args:
        case: The case.
        facts: The facts of the player that was prepared thoroughly.
        ready: That player's answer after its warm-up.
        samplings: The sampling of each group that the case played in; at least one.
    """
    turns = [judged for sampled in samplings for judged in judged_turns(case, sampled)]
    loaded = [judged for judged in turns if judged.loaded]
    counted = _counted(loaded)
    laps = [judged.turn.result for judged in counted if judged.turn.result.host is not None]
    if not laps:
        return None
    names = (
        [str(phase) for phase in phases.phases_of(case.loop, case.device)]
        if facts.script is None
        else list(facts.script.phases)
    )
    device = [result.device for result in laps if result.device is not None]
    loader = facts.loader
    if loader is not None:
        unloaded_s = _step_s(_of_kind(turns, TurnKind.UNLOADED))
        loader = structs.replace(loader, unloaded_step_s=unloaded_s)
    return Findings(
        data=facts.data,
        model=facts.model,
        settings=facts.settings,
        clock=facts.clock,
        phases=tuple(names),
        laps=Laps(
            host=_joined((result.host for result in laps if result.host is not None), names),
            device=_joined(device, names) if device else None,
        ),
        micro_laps=_micro_laps(result.micro or {} for result in laps)
        if case.accumulate > 1
        else None,
        blocks=tuple(_block(judged) for judged in counted),
        sampling=_sampling_facts(turns, samplings, workers=bool(case.num_workers)),
        noise=_noise(loaded),
        warmup=ready.warm_up,
        first_step_s=facts.first_step_s,
        loader=loader,
        compile=facts.compile,
        memory=facts.memory,
        work=facts.operations,
        launch_overhead=_launch_overhead(case, turns, samplings),
        turns=tuple(judged.record() for judged in turns),
        script=facts.script,
    )


def _counted(loaded: Sequence[JudgedTurn]) -> list[JudgedTurn]:
    """The turns that count; of a kind of which none counts, all."""
    kinds = {judged.turn.command.kind for judged in loaded if judged.counts}
    return [judged for judged in loaded if judged.counts or judged.turn.command.kind not in kinds]


def _block(judged: JudgedTurn) -> Block:
    kind: Literal["lapped", "bare"] = (
        "bare" if judged.turn.command.kind is TurnKind.BARE else "lapped"
    )
    return Block(kind=kind, steps=judged.turn.command.steps, elapsed_s=judged.turn.result.elapsed_s)


def _joined(tracks: Iterable[Track], names: Sequence[str]) -> dict[str, list[float]]:
    """Joins the laps of turns; a phase that a step never ends has laps of 0."""
    joined: dict[str, list[float]] = {name: [] for name in (*names, STEP)}
    for track in tracks:
        steps = len(track[STEP])
        for name in dict.fromkeys((*joined, *track)):
            joined.setdefault(name, [0.0] * (len(joined[STEP]) if name != STEP else 0))
        before = len(joined[STEP])
        for name, laps in joined.items():
            laps.extend(track.get(name, [0.0] * steps))
        if any(len(laps) != before + steps for laps in joined.values()):
            raise ValueError("laps of a turn differ in number")
    return joined


def _micro_laps(turns: Iterable[Mapping[str, list[list[float]]]]) -> dict[str, list[list[float]]]:
    """Joins the laps of micro-batches, of the phases that have equally many in each turn."""
    parts = list(turns)
    widths = [{name: len(rows[0]) for name, rows in part.items()} for part in parts]
    return {
        name: [row for part in parts for row in part[name]]
        for name, width in (widths[0] if widths else {}).items()
        if all(of_turn.get(name) == width for of_turn in widths)
    }


def _sampling_facts(
    turns: Sequence[JudgedTurn], samplings: Sequence[Sampled], *, workers: bool
) -> SamplingFacts:
    mean = mean_step(steps_by_generation(turns, workers=workers))
    return SamplingFacts(
        stopped=samplings[0].stopped,
        rel_error=finite_or_none(mean.relative_half_width),
        target=samplings[0].target,
        elapsed_s=math.fsum(
            played.elapsed_s for sampled in samplings for played in sampled.generations
        ),
        generations=len({(judged.group, judged.generation) for judged in turns}),
    )


def _noise(loaded: Sequence[JudgedTurn]) -> Noise:
    discarded = sum(not judged.counts for judged in loaded)
    return Noise(
        interference=2 * discarded > len(loaded),
        discarded=discarded,
        blocks=tuple(_noises(loaded)),
    )


def _noises(loaded: Iterable[JudgedTurn]) -> Iterator[BlockNoise]:
    for judged in loaded:
        use = judged.turn.result.machine_use
        if use is not None:
            kind: Any = judged.turn.command.kind.value
            yield BlockNoise(kind=kind, kept=judged.counts, **structs.asdict(use))


def _of_kind(turns: Sequence[JudgedTurn], kind: TurnKind) -> list[JudgedTurn]:
    """The turns of a kind that count; all of them if none counts."""
    return _counted([judged for judged in turns if judged.turn.command.kind is kind])


def _step_s(turns: Sequence[JudgedTurn]) -> float | None:
    """The mean step of turns, seconds; `None` if there are none."""
    steps = sum(judged.turn.command.steps for judged in turns)
    if not steps:
        return None
    return math.fsum(judged.turn.result.elapsed_s for judged in turns) / steps


def _launch_overhead(
    case: Case, turns: Sequence[JudgedTurn], samplings: Sequence[Sampled]
) -> LaunchOverhead:
    """The fixed cost of forward and backward, from unloaded turns and those on a tiny batch."""
    tiny, full = _of_kind(turns, TurnKind.TINY), _of_kind(turns, TurnKind.UNLOADED)
    if not tiny or not full:
        reasons = [
            turn.result.reason
            for sampled in samplings
            for played in sampled.generations
            for turn in played.turns
            if turn.player == case and turn.result.reason is not None
        ]
        reason = reasons[0] if reasons else "no step on a tiny batch was measured"
        return LaunchOverhead(batch_size=None, forward_s=None, backward_s=None, reason=reason)
    size = tiny[0].turn.result.samples
    fixed_s = {
        phase: fixed_cost_s(
            _lap_s(tiny, phase) / case.accumulate,
            _lap_s(full, phase) / case.accumulate,
            size,
            case.batch_size,
        )
        for phase in (Phase.FORWARD, Phase.BACKWARD)
    }
    return LaunchOverhead(
        batch_size=size, forward_s=fixed_s[Phase.FORWARD], backward_s=fixed_s[Phase.BACKWARD]
    )


def _lap_s(turns: Sequence[JudgedTurn], phase: str) -> float:
    """A phase's time in a step, seconds: the median over turns of their means."""
    return statistics.median(
        judged.phases_s.get(phase, 0.0) / judged.turn.command.steps for judged in turns
    )
