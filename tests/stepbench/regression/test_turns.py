from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.devices.kind import GaugeReading
from stepbench.interference.watch import MachineWatch
from stepbench.regression.pair import (
    ORDERS,
    PairRequest,
    SideError,
    SideRequest,
    Turn,
)
from stepbench.regression.tree import Tree
from stepbench.regression.turns import rounds_per_pair, steps_per_turn, take_turns
from stepbench_reports.schema.check import SIDES, SideEnd, SideName, TurnOptions
from stepbench_reports.schema.measurement import MachineUse
from stepbench_reports.schema.run import SamplingOptions

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from stepbench.devices.kind import Gauge

QUIET = MachineUse(
    others=0.0, steal=0.0, pressure=0.0, cpu_per_wall=1.0, involuntary_switches=0, clock_hz=None,
    throttled=None,
)  # fmt: skip


class QuietWatch:
    def __init__(self, gauge: "Gauge") -> None: ...

    def begin(self) -> None: ...

    def end(self) -> MachineUse:
        return QUIET


def request(seed: int = 1, **turns: Any) -> PairRequest:
    case = Case(workload="convnet")
    sides = {
        side: SideRequest(
            Tree(side, Path(), Path(), Path()), Request(case, SamplingOptions(), Path("cache"))
        )
        for side in SIDES
    }
    return PairRequest(sides, seed, TurnOptions(**{"total_s": 1.2, **turns}))


def answers(side: SideName, log: list[str]) -> dict[str, Callable[[int], tuple[str, Any]]]:
    def turn(steps: int) -> tuple[str, Any]:
        log.append(side)
        return "turn", Turn(side, steps, 0.01 * steps, {"forward": 0.01 * steps})

    return {
        "warm up": lambda _: ("warm", (0.01, 1)),
        "turn": turn,
        "begin gauge": lambda _: ("gauge", None),
        "end gauge": lambda _: (
            "gauge",
            GaugeReading(1.5e9, "heat") if side == "head" else GaugeReading(),
        ),
        "facts": lambda _: ("facts", SideEnd(host_peak_bytes=1, modules=1)),
    }


@contextmanager
def sides(
    log: list[str], **changes: Callable[[int], tuple[str, Any] | None]
) -> Iterator[dict[SideName, "Connection[Any, Any]"]]:
    """Two sides that answer in threads; `base_turn=...` has base's turns answered otherwise."""
    connections: dict[SideName, Connection[Any, Any]] = {}
    threads = []
    for side in SIDES:
        connections[side], child_connection = Pipe()
        handlers = answers(side, log)
        handlers |= {
            command.replace("_", " ").removeprefix(f"{side} "): change  # type: ignore[misc]
            for command, change in changes.items()
            if command.startswith(side)
        }
        threads.append(Thread(target=run_side, args=(child_connection, handlers)))
        threads[-1].start()
    try:
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        for thread in threads:
            thread.join()


def run_side(child_connection: "Connection[Any, Any]", handlers: dict[str, Any]) -> None:
    with child_connection:
        child_connection.send(("built", None))
        while True:
            try:
                command, steps = child_connection.recv()
            except (EOFError, ConnectionResetError):
                return
            if command == "exit":
                return
            answer = handlers[command](steps)
            if answer is None:  # it is killed
                return
            child_connection.send(answer)


def test_turns_go_there_and_back_in_either_order() -> None:
    log: list[str] = []
    with sides(log) as connections:
        pair = take_turns(lambda _: None, request(), connections, QuietWatch)
    assert [turn.side for turn in pair.turns] == log
    quads = {tuple(log[start : start + 4]) for start in range(0, len(log), 4)}
    assert quads == set(ORDERS)
    assert pair.machine_use is QUIET
    assert set(pair.sides) == set(SIDES)


def test_the_device_s_state_is_read_in_head_s_process() -> None:
    with sides([]) as connections:
        pair = take_turns(lambda _: None, request(), connections, MachineWatch)
    assert (pair.machine_use.clock_hz, pair.machine_use.throttled) == (1.5e9, "heat")


def test_both_sides_take_as_many_steps() -> None:
    with sides([]) as connections:
        pair = take_turns(lambda _: None, request(), connections, QuietWatch)
    assert len({turn.steps for turn in pair.turns}) == 1
    base = [turn for turn in pair.turns if turn.side == "base"]
    assert 2 * len(base) == len(pair.turns)


def test_the_order_comes_from_the_seed() -> None:
    def order(seed: int) -> list[str]:
        log: list[str] = []
        with sides(log) as connections:
            take_turns(lambda _: None, request(seed), connections, QuietWatch)
        return log

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(4)}) > 1


def test_a_side_that_fails_is_named_with_its_reason() -> None:
    def fail(_: int) -> tuple[str, Any]:
        return "failed", ("it raised ValueError: x", "Traceback")

    with sides([], head_turn=fail) as connections, pytest.raises(SideError) as caught:
        take_turns(lambda _: None, request(), connections, QuietWatch)
    assert caught.value.failed.side == "head"
    assert caught.value.failed.reason == "it raised ValueError: x"


@pytest.mark.parametrize("command", ["base_turn", "base_warm_up", "base_facts", "head_end_gauge"])
def test_a_side_that_is_killed_is_named(command: str) -> None:
    changes: dict[str, Any] = {command: lambda _: None}
    with sides([], **changes) as connections, pytest.raises(SideError) as caught:
        take_turns(lambda _: None, request(), connections, MachineWatch)
    assert caught.value.failed.side == command.partition("_")[0]
    assert "ended before it was done" in caught.value.failed.reason


@pytest.mark.parametrize(
    ("step_s", "prefetched_steps", "steps"),
    [(0.001, 0, 30), (0.01, 4, 8), (0.5, 0, 2), (0.01, 0, 3)],
)
def test_a_turn_outlasts_what_the_loader_had_prepared(
    step_s: float, prefetched_steps: int, steps: int
) -> None:
    assert steps_per_turn(TurnOptions(), step_s, prefetched_steps) == steps


def test_long_steps_still_have_rounds_enough() -> None:
    assert rounds_per_pair(TurnOptions(), 0.03) == 16
    assert rounds_per_pair(TurnOptions(), 2.0) == TurnOptions().min_rounds
