"""A pair: base and head take turns.

A pair is a generation of two players, alive at once. Both take two lapped turns in a round, in the
order base head head base or the reverse. Where they find no room beside each other, each is a
generation of its own. `docs/regression.md` describes the file of pairs.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from stepbench.config.turns import TurnKind
from stepbench.interference.watch import usable_cores
from stepbench.process.job import Outcome
from stepbench.regression.discarding import interference_differs
from stepbench.scheduling.generation import GenerationPlan, Played, play
from stepbench.scheduling.player import Player
from stepbench.scheduling.rounds import RoundPlan, TakenTurn
from stepbench_reports.schema.check import (
    SIDES,
    FailedPairLine,
    PairLine,
    SideEnd,
    SideFailure,
    SideName,
    Stage,
    TurnOptions,
    TurnSeries,
)
from stepbench_reports.schema.phases import STEP

PlayedPair: TypeAlias = Played[SideName, SideEnd]
"""The generation of a pair."""


@dataclass(frozen=True)
class PairPlace:
    """The place of a pair in its check.

    Attributes:
        case: The case's id.
        round: The number of the round.
        server: The number of the server from which the sides were forked.
        stage: The stage that the pair belongs to.
    """

    case: str
    round: int
    server: int
    stage: Stage


def take_pair(
    start: Callable[[SideName], Player[SideEnd]],
    turns: TurnOptions,
    on_progress: Callable[[str], None],
    rng: random.Random | None = None,
) -> PlayedPair:
    """Takes a pair whose sides are alive at once.

    A side that finds no memory beside the opposite one is deferred, and there is no pair.

    Args:
        start: Starts a side's process.
        turns: The number and length of the turns.
        on_progress: Called with a few words on the current activity.
        rng: The source of the order in which sides start and take turns; by default a new one.
    """
    plan = _plan(turns, min_players=len(SIDES))
    return play(start, SIDES, plan, rng or random.Random(), on_progress)  # noqa: S311  # not for security


def take_pair_apart(
    start: Callable[[SideName], Player[SideEnd]],
    turns: TurnOptions,
    on_progress: Callable[[str], None],
    rng: random.Random | None = None,
) -> PlayedPair:
    """Takes a pair whose sides are alive one at a time, in an order that is drawn.

    The arguments are those of `take_pair`. The sides meet different moments of the machine.
    """
    rng = rng or random.Random()  # noqa: S311  # not for security
    plan = _plan(turns, min_players=1)
    taken: list[PlayedPair] = []
    for side in rng.sample(SIDES, len(SIDES)):
        taken.append(play(start, (side,), plan, rng, on_progress))
        if taken[-1].lost:
            break
    return _joined(taken)


def _plan(turns: TurnOptions, min_players: int) -> GenerationPlan:
    return GenerationPlan(
        number=0,
        turns_s=turns.total_s / len(SIDES),
        steps=None,
        thorough=False,
        cores=tuple(usable_cores()),
        rounds=RoundPlan(
            kinds=(TurnKind.LAPPED, TurnKind.LAPPED),
            kinds_once=(),
            turn_s=turns.seconds,
            min_steps=turns.steps,
            min_rounds=turns.min_rounds,
        ),
        min_players=min_players,
    )


def _joined(taken: Sequence[PlayedPair]) -> PlayedPair:
    """The generations of single sides as one."""
    return Played(
        number=0,
        ready={side: ready for each in taken for side, ready in each.ready.items()},
        turns=tuple(turn for each in taken for turn in each.turns),
        facts={side: facts for each in taken for side, facts in each.facts.items()},
        lost={side: outcome for each in taken for side, outcome in each.lost.items()},
        deferred=(),
        start_s={side: start_s for each in taken for side, start_s in each.start_s.items()},
        elapsed_s=sum(each.elapsed_s for each in taken),
    )


def pair_line(
    played: PlayedPair, place: PairPlace, *, together: bool = True
) -> PairLine | FailedPairLine:
    """A pair's line in the check's directory.

    Args:
        played: The pair, of which no side is deferred.
        place: The place of the pair in its check.
        together: True if the sides were alive at once.
    """
    failure = _failure(played.lost)
    if failure is not None:
        return FailedPairLine(
            case=place.case,
            round=place.round,
            server=place.server,
            stage=place.stage,
            failed=failure,
        )
    turns = _turn_series(played.turns)
    return PairLine(
        case=place.case,
        round=place.round,
        server=place.server,
        stage=place.stage,
        turns=turns,
        sides=dict(played.facts),
        together=together,
        interference=interference_differs(turns),
        elapsed_s=played.elapsed_s,
    )


def _failure(lost: Mapping[SideName, Outcome]) -> SideFailure | None:
    """The side with which a pair failed: base if both did, since head fails only if base works."""
    for side in SIDES:
        if side in lost:
            outcome = lost[side]
            reason = outcome.reason or str(outcome.status)
            return SideFailure(side=side, reason=reason, detail=outcome.detail)
    return None


def _turn_series(turns: Sequence[TakenTurn[SideName]]) -> TurnSeries:
    """Collects the figures in the order of the turns, rounded to nanoseconds."""
    laps = [turn.result.device or turn.result.host or {} for turn in turns]
    uses = [turn.result.machine_use for turn in turns]
    return TurnSeries(
        side=tuple(turn.player for turn in turns),
        steps=tuple(turn.command.steps for turn in turns),
        elapsed_s=tuple(round(sum(track[STEP]), 9) for track in laps),
        phases_s={
            phase: tuple(round(sum(track.get(phase, ())), 9) for track in laps)
            for phase in dict.fromkeys(phase for track in laps for phase in track)
            if phase != STEP
        },
        others=tuple(None if use is None else use.others for use in uses),
        steal=tuple(None if use is None else use.steal for use in uses),
        run_delay_s=tuple(turn.result.run_delay_s for turn in turns),
        throttled=tuple(None if use is None else use.throttled for use in uses),
    )
