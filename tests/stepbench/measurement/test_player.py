import os
import sys
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from stepbench.config.case import Case
from stepbench.config.requests import Request
from stepbench.config.turns import Finish, Prepare, TakeTurn, TurnKind
from stepbench.errors import UnsupportedError, UsageError
from stepbench.interference import watch
from stepbench.measurement.player import CasePlayer, play
from stepbench.training.batch import cut
from stepbench_reports.schema.case_facts import ModelFacts
from stepbench_reports.schema.run import SamplingOptions
from support.scripted import Performance, ScriptedLink, perform

pytestmark = pytest.mark.usefixtures("nothing_compiled")

LAPPED, BARE, UNLOADED, TINY = TurnKind
SHORT = SamplingOptions(max_time_s=0.4)
"""Warm-up soon ends."""
LAYERS = [28**2 * 6 * 75, 10**2 * 16 * 150, 400 * 120, 120 * 84, 84 * 10]
"""The multiply-adds of convnet's layers for one image."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignores interference, since the tests assert no times."""
    monkeypatch.setattr(watch, "MAX_OTHERS", 1.0)
    monkeypatch.setattr(watch, "MAX_STEAL", 1.0)


@pytest.fixture(autouse=True)
def all_cores() -> Iterator[None]:
    """Gives this process back the cores that a player took from it."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    yield
    if before is not None:
        os.sched_setaffinity(0, before)


def request_of(tmp_path: Path, sampling: SamplingOptions = SHORT, **values: object) -> Request:
    case = Case(**{"workload": "convnet", **values})  # type: ignore[arg-type]
    return Request(case, sampling, tmp_path)


def performed(
    tmp_path: Path,
    *turns: tuple[TurnKind, int],
    sampling: SamplingOptions = SHORT,
    **values: object,
) -> Performance:
    return perform(request_of(tmp_path, sampling, **values), *turns)


def test_each_kind_of_turn_has_the_steps_and_the_laps_that_were_asked_for(tmp_path: Path) -> None:
    done = performed(tmp_path, (LAPPED, 7), (BARE, 5), (UNLOADED, 3), (TINY, 2), batch_size=8)
    lapped, bare, unloaded, tiny = done.turns
    for result, steps in ((lapped, 7), (unloaded, 3), (tiny, 2)):
        assert result.host is not None
        assert set(result.host) == {"dataload", "forward", "backward", "optimizer", "step"}
        assert {len(laps) for laps in result.host.values()} == {steps}
        assert sum(result.host["step"]) <= result.elapsed_s
        phases = [laps for name, laps in result.host.items() if name != "step"]
        assert [sum(step) for step in zip(*phases, strict=True)] == pytest.approx(
            result.host["step"]
        )
    assert (bare.host, bare.device, bare.micro) == (None, None, None)
    assert bare.elapsed_s > 0
    assert lapped.device is None
    assert [result.samples for result in done.turns] == [0, 0, 0, 1]
    assert not any(result.compiled or result.reason for result in done.turns)


def test_a_turn_says_how_the_machine_was_used(tmp_path: Path) -> None:
    (turn,) = performed(tmp_path, (BARE, 20)).turns
    assert turn.machine_use is not None
    assert turn.machine_use.cpu_per_wall > 0
    assert turn.probe_s is not None
    assert turn.probe_s > 0
    if sys.platform == "linux" and Path("/proc/self/schedstat").exists():
        assert turn.run_delay_s is not None
        assert turn.run_delay_s >= 0
    else:
        assert turn.run_delay_s is None


def test_the_facts_of_the_case(tmp_path: Path) -> None:
    done = performed(tmp_path)
    facts = done.facts
    size_bytes = 4 * 62_006
    assert facts.model == ModelFacts(
        name="ConvNet", parameters=62_006, trainable=62_006, parameter_bytes=size_bytes,
        trainable_bytes=size_bytes, optimizer_bytes=size_bytes,
    )  # fmt: skip
    assert facts.data.origin == "generated"
    assert facts.compile is None
    assert facts.memory.host_peak_bytes > 50e6
    assert facts.memory.host_pinned_bytes is None
    assert facts.first_step_s > 0
    assert facts.loader is not None
    assert facts.loader.unloaded_step_s is None  # which turns measure
    assert facts.loader.batches_per_step == 1
    assert (done.ready.workers, done.ready.prefetched_steps) == (0, 0)
    assert done.ready.step_s > 0
    assert done.ready.warm_up.steps >= 3
    assert done.activities == [
        "building", "loading", "loading alone", "first step", "warming up", "measuring memory",
        "counting operations", "restarting the loader",
    ]  # fmt: skip


def test_the_loader_and_the_operations_are_measured_separately(tmp_path: Path) -> None:
    done = performed(tmp_path, batch_size=8, num_workers=1, prefetch_factor=3)
    loader, operations = done.facts.loader, done.facts.operations
    assert loader is not None
    assert (loader.ready, done.ready.prefetched_steps) == (3, 3)
    assert done.ready.workers == 1
    assert loader.samples_per_s > 0
    assert loader.restart_s > 0
    # Twice forward's operations in backward, but for the gradient of the images.
    assert operations.flops == 2 * 8 * (3 * sum(LAYERS) - LAYERS[0])
    assert done.facts.memory.saved_bytes is not None
    assert done.facts.memory.saved_bytes > 8 * 6 * 28 * 28 * 4


def test_evaluation_has_no_backward_and_no_optimizer(tmp_path: Path) -> None:
    done = performed(tmp_path, (LAPPED, 4), loop="eval")
    assert set(done.turns[0].host or {}) == {"dataload", "forward", "step"}
    assert done.facts.memory.saved_bytes is None
    assert done.facts.operations.flops == 2 * 4 * sum(LAYERS)


def test_a_step_that_accumulates_has_a_lap_for_each_of_its_batches(tmp_path: Path) -> None:
    done = performed(tmp_path, (LAPPED, 6), accumulate=3, num_workers=1)
    micro, host = done.turns[0].micro, done.turns[0].host
    assert micro is not None
    assert host is not None
    assert set(micro) == {"dataload", "forward", "backward"}
    for phase, laps in micro.items():
        assert [len(step) for step in laps] == [3] * 6
        assert [sum(step) for step in laps] == pytest.approx(host[phase])
    assert done.facts.loader is not None
    assert done.facts.loader.batches_per_step == 3


def test_channels_last_and_sync_phases_are_measured(tmp_path: Path) -> None:
    done = performed(
        tmp_path,
        (LAPPED, 3),
        sampling=SamplingOptions(max_time_s=0.4, sync_phases=True),
        channels_last=True,
    )
    assert done.facts.settings.sync_phases
    assert "synchronized" in done.facts.clock.name
    assert done.turns[0].device is None


def test_a_model_whose_operators_cannot_be_counted_has_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotImplementedError("no such mode")

    monkeypatch.setattr("stepbench.measurement.dispatch_counter.count", refuse)
    facts = performed(tmp_path).facts
    assert facts.operations.flops is None
    assert "no such mode" in str(facts.operations.reason)
    assert facts.memory.saved_bytes is None


def test_a_compiled_case_has_no_tiny_batch(tmp_path: Path) -> None:
    done = performed(tmp_path, (LAPPED, 3), (TINY, 3), precision="bf16", compile="backend:eager")
    assert "compiling" in done.activities
    lapped, tiny = done.turns
    assert not lapped.compiled
    assert "would recompile" in str(tiny.reason)
    assert (tiny.elapsed_s, tiny.host, tiny.machine_use) == (0.0, None, None)
    assert done.facts.compile is not None
    assert done.facts.compile.backend == "eager"
    assert done.facts.compile.graphs == 1


BATCH_NORM = """
def make_normalized():
    workload = make()
    import dataclasses
    model = lambda: torch.nn.Sequential(torch.nn.Linear(8, 2), torch.nn.BatchNorm1d(2))
    return dataclasses.replace(workload, model=model)
"""


def test_batch_norm_takes_a_batch_of_two(tmp_path: Path, tiny: Any) -> None:
    path = tiny(more=BATCH_NORM)
    (turn,) = performed(tmp_path, (TINY, 3), workload=f"{path}:make_normalized", batch_size=8).turns
    assert turn.samples == 2
    assert turn.reason is None


class Counted:
    """Counts the batches that are taken from a stream."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self.taken = 0

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            self.taken += 1
            yield batch


@pytest.mark.parametrize(
    ("values", "untimed", "a_step"),
    [
        pytest.param({}, 2, 1, id="no-worker"),
        pytest.param({"num_workers": 1, "prefetch_factor": 5}, 5, 1, id="worker"),
        pytest.param(
            {"num_workers": 1, "prefetch_factor": 5, "accumulate": 2}, 3, 2, id="accumulate"
        ),
    ],
)
def test_what_the_loader_had_prepared_is_consumed_untimed(
    tmp_path: Path, values: dict[str, Any], untimed: int, a_step: int
) -> None:
    player = CasePlayer(ScriptedLink(), request_of(tmp_path, batch_size=8, **values))
    player.prepare(thorough=False)
    source = player._active.source
    counted = Counted(source.batches)
    source.batches = iter(counted)
    for kind in (LAPPED, BARE):
        counted.taken = 0
        player.turn(TakeTurn(kind, 4))
        assert counted.taken == (untimed + 4) * a_step
    counted.taken = 0
    player.turn(TakeTurn(UNLOADED, 4))
    player.turn(TakeTurn(TINY, 4))
    player.turn(TakeTurn(UNLOADED, 4))
    assert counted.taken == 0  # they repeat one that was taken before the first turn


def test_a_turn_in_which_something_was_compiled_says_so(tmp_path: Path) -> None:
    player = CasePlayer(ScriptedLink(), request_of(tmp_path, compile="backend:eager"))
    player.prepare(thorough=False)
    source = player._active.source
    batch = next(source.batches)
    source.batches = chain(repeat(batch, 3), [cut(batch, 4, 3)], repeat(batch))
    assert player.turn(TakeTurn(BARE, 2)).compiled
    assert not player.turn(TakeTurn(BARE, 2)).compiled


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="threads are not bound to cores")
def test_a_turn_takes_place_on_the_cores_that_were_given(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    player = CasePlayer(ScriptedLink(), request_of(tmp_path))
    player.prepare(thorough=True)
    for core in sorted(cores):
        player.turn(TakeTurn(BARE, 2, (core,)))
        assert os.sched_getaffinity(0) == {core}
    player.turn(TakeTurn(BARE, 2))
    assert os.sched_getaffinity(0) == cores
    player.turn(TakeTurn(BARE, 2, (min(cores),)))
    player.facts()
    assert os.sched_getaffinity(0) == cores


def test_only_a_thorough_player_has_facts(tmp_path: Path) -> None:
    link = ScriptedLink(Prepare(thorough=False), TakeTurn(BARE, 2), Finish(thorough=False))
    assert play(link, request_of(tmp_path)) is None
    assert "loading alone" not in link.activities
    with pytest.raises(RuntimeError, match="thoroughly"):
        play(ScriptedLink(Prepare(thorough=False), Finish(thorough=True)), request_of(tmp_path))


def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    link: Any = ScriptedLink("dance")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'dance': is no command"):
        play(link, request_of(tmp_path))


def test_what_a_machine_cannot_do_is_unsupported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnsupportedError, match="does not support TF32"):
        performed(tmp_path, precision="tf32")
    import torch._inductor.config

    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/no/such/compiler",))
    with pytest.raises(UnsupportedError, match="install g\\+\\+"):
        performed(tmp_path, compile="default")


def test_an_unknown_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="torch has no such backend"):
        performed(tmp_path, compile="backend:nothing")
