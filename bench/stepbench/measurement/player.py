"""A player: a case's live process, which works only in its turn and is idle in all others'.

The order matters. The loader's start is timed first, then the loader's rate while nothing else
runs, then the first step. Warm-up runs until a steady state; then the player takes turns. Passes
follow for all that would disturb the turns: memory, a step's operations, the loader's restart.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import psutil
import torch

from stepbench.config.requests import Request
from stepbench.config.turns import (
    UNTIMED_STEPS,
    Finish,
    PlayerFacts,
    PlayerLink,
    Prepare,
    Ready,
    TakeTurn,
    TurnKind,
    TurnResult,
)
from stepbench.devices.clock import DeviceClock, SynchronizedClock
from stepbench.devices.kinds import kind_of
from stepbench.interference.run_delay import run_delay_s, use_cores
from stepbench.interference.speed_probe import SpeedProbe
from stepbench.interference.watch import MachineWatch, until_quiet, usable_cores
from stepbench.measurement.active_case import start_case
from stepbench.measurement.facts import clock_facts
from stepbench.measurement.idle import wait_until_idle
from stepbench.measurement.loader import Rate
from stepbench.measurement.memory import device_peak_bytes
from stepbench.measurement.passes import LoaderAlone, host_peak_bytes, take_passes
from stepbench.measurement.timed_loop import RepeatedBatch, TimedLoop
from stepbench.measurement.tiny_batch import NoTinyBatchError, TinyLoop, tiny_loop
from stepbench.measurement.warm_up import WARMUP_WINDOW_S, warm_up
from stepbench.training import compilation
from stepbench.training.heartbeat import SLOW_STEP_S, after_slow_steps, after_untimed_steps
from stepbench_reports.schema.measurement import DevicePeak


def play(link: PlayerLink, request: Request) -> PlayerFacts | None:
    """Plays a case until its end.

    Args:
        link: The connection to the process that commands the turns.
        request: The case, with its settings.

    Returns:
        The facts of the case, if the parent wants them.

    Raises:
        UsageError: The case names something that does not exist.
        UnsupportedError: This machine cannot run the case.
    """
    player = CasePlayer(link, request)
    finish = play_until_finished(link, player)
    return player.facts() if finish.thorough else None


def play_until_finished(link: PlayerLink, player: "CasePlayer") -> Finish:
    """Obeys commands until the last one, which it returns.

    Args:
        link: The connection to the process that commands the turns.
        player: The player.

    Raises:
        TypeError: A message is no command.
    """
    while True:
        command = link.next_command()
        if isinstance(command, Prepare):
            link.answer(player.prepare(thorough=command.thorough))
        elif isinstance(command, TakeTurn):
            link.answer(player.turn(command))
        elif isinstance(command, Finish):
            return command
        else:
            raise TypeError(f"{command!r}: is no command to a player")


class CasePlayer:
    """A case that takes turns.

    Args:
        link: The connection to the process that commands the turns.
        request: The case, with its settings.
    """

    def __init__(self, link: PlayerLink, request: Request) -> None:
        self._link = link
        self._request = request
        self._kind = kind_of(request.case.device)
        self._active = start_case(request, link)
        loop = self._active.timed_loop
        self._lap_clock: DeviceClock = (
            SynchronizedClock(loop.clock) if request.sampling.sync_phases else loop.clock
        )
        # Made after the loader's workers have started, so that they do not count as interference.
        self._watch = MachineWatch(self._kind.gauge(request.case.device))
        self._workers = [child.pid for child in psutil.Process().children(recursive=True)]
        self._cores = usable_cores()
        self._probe: SpeedProbe | None = SpeedProbe()
        self._alone: LoaderAlone | None = None
        self._first_step_s = self._step_s = 0.0
        self._warm_up_peak = DevicePeak()
        self._batch: Any = None

    def prepare(self, *, thorough: bool) -> Ready:
        """Takes the first step and warms up; see `Prepare`."""
        request, loop = self._request, self._active.timed_loop
        if thorough:
            rate, quiet = until_quiet(self._watch, self._loading_rate)
            self._alone = LoaderAlone(rate, quiet=quiet)
        self._link("first step" if request.case.compile == "off" else "compiling")
        self._first_step_s = loop.bare(1).elapsed_s
        compilation.end_workers()
        warmed_up = warm_up(loop, request.sampling, self._link)
        compilation.end_workers()  # a second shape may have been compiled
        self._watch.list_processes()
        window = loop.bare(max(1, round(WARMUP_WINDOW_S / warmed_up.step_s)))
        self._step_s = window.elapsed_s / window.steps
        self._warm_up_peak = self._kind.peak_memory(request.case.device)
        self._kind.reset_peak_memory(request.case.device)
        # Before the first turn, in which a worker would make the batch that takes its place.
        self._batch = next(self._active.source.batches)
        wait_until_idle(loop.clock, self._workers)
        return Ready(
            warm_up=warmed_up,
            step_s=self._step_s,
            prefetched_steps=self._prefetched_steps,
            threads=torch.get_num_threads(),
            workers=self._request.case.num_workers,
        )

    def _loading_rate(self) -> Rate:
        self._link("loading alone")
        return self._active.source.measure_rate()

    @property
    def _prefetched_steps(self) -> int:
        return -(-self._active.source.ready // self._request.case.accumulate)

    def turn(self, command: TakeTurn) -> TurnResult:
        """Takes a turn; see `TakeTurn`."""
        try:
            loop, samples, untimed = self._loop_of(command.kind)
        except NoTinyBatchError as error:
            return TurnResult(reason=str(error))
        use_cores(command.cores or self._cores)
        # Before the untimed steps, which fill the caches again.
        probe_s = None if self._probe is None else self._probe.elapsed_s()
        loop.run(untimed, after_untimed_steps(self._link, "preparing a turn"))
        end_step = after_slow_steps(self._link, f"{command.kind} turn", self._step_s)
        compilation.end_workers()  # an untimed step may have recompiled
        compiled, delay_s = compilation.count(), run_delay_s()
        self._watch.begin()
        if command.kind is TurnKind.BARE:
            block, laps = loop.bare(command.steps, end_step), None
        else:
            block, laps = loop.lapped(command.steps, self._lap_clock, end_step)
        machine_use, delayed_s = self._watch.end(), run_delay_s()
        result = TurnResult(
            elapsed_s=block.elapsed_s,
            host=None if laps is None else _lists(laps.host),
            device=None if laps is None or laps.device is None else _lists(laps.device),
            micro=None if laps is None else _lists(laps.micro),
            machine_use=machine_use,
            run_delay_s=None if delay_s is None or delayed_s is None else delayed_s - delay_s,
            probe_s=probe_s,
            compiled=compilation.count() != compiled,
            samples=samples,
        )
        compilation.end_workers()  # so that none is there in the others' turns
        wait_until_idle(loop.clock, self._workers)
        return result

    def _loop_of(self, kind: TurnKind) -> tuple[TimedLoop, int, int]:
        """The loop of a kind of turn, its tiny batch's size or 0, and the steps before the timed.

        Raises:
            NoTinyBatchError: The case has no tiny batch.
        """
        loop = self._active.timed_loop
        untimed = UNTIMED_STEPS if self._step_s < SLOW_STEP_S else 0
        if kind is TurnKind.UNLOADED:
            return replace(loop, source=RepeatedBatch(self._batch)), 0, untimed
        if kind is TurnKind.TINY:
            tiny = self._tiny
            return tiny.timed_loop, tiny.size, UNTIMED_STEPS
        return loop, 0, max(untimed, self._prefetched_steps)

    @cached_property
    def _tiny(self) -> TinyLoop:
        return tiny_loop(self._active.timed_loop, self._batch, self._request.case)

    def peak_memory(self) -> tuple[int, int | None]:
        """Runs steps to read the peak memory of the process tree and of the device, bytes.

        The device's is that since the warm-up; `None` if the device does not record it.
        """
        use_cores(self._cores)
        compilation.end_workers()  # their memory is not the case's
        loop = self._active.timed_loop
        return host_peak_bytes(loop), device_peak_bytes(self._request.case)

    def facts(self) -> PlayerFacts:
        """Takes the passes that would disturb turns, and collects the facts of the case.

        Raises:
            RuntimeError: The player was not prepared thoroughly.
        """
        if self._alone is None:
            raise RuntimeError("only a player that was prepared thoroughly has facts")
        use_cores(self._cores)
        self._probe = None  # whose memory is none of the case's
        peak = self._kind.peak_memory(self._request.case.device)
        return take_passes(
            self._link,
            self._request,
            self._active,
            clock=clock_facts(self._lap_clock),
            first_step_s=self._first_step_s,
            loader=self._alone,
            peaks=(self._warm_up_peak, peak),
        )


def _lists(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values.tolist() for name, values in arrays.items()}
