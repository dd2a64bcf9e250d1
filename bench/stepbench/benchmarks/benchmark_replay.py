"""Replays durations measured in a child process into pytest-benchmark, as if measured here."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from stepbench_reports.schema.results import MeasurementRecord


class Benchmark(Protocol):
    """The part of pytest-benchmark's fixture that stepbench uses."""

    extra_info: dict[str, Any]
    group: str | None

    def pedantic(
        self, target: Callable[[], None], *, setup: Callable[[], None], rounds: int
    ) -> None:
        """Runs `target` `rounds` times, each time after `setup`."""
        ...


class LapClock:
    """A timer for pytest-benchmark that shows durations measured in another process.

    The benchmarked function advances the timer by the next lap; nothing else does.
    """

    __name__ = "child_process_clock"

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """The timer's current time, seconds."""
        return self._now_s

    def replay(self, laps_s: Sequence[float], benchmark: Benchmark) -> None:
        """Replays laps into a benchmark, bit for bit.

        The timer starts each round at 0, so the difference of two readings equals the lap exactly.
        """
        remaining_s = iter(laps_s)

        def reset() -> None:
            self._now_s = 0.0

        def tick() -> None:
            self._now_s = next(remaining_s)

        benchmark.pedantic(tick, setup=reset, rounds=len(laps_s))


CLOCK = LapClock()


def replay_phase(measurement: MeasurementRecord, phase: str, benchmark: Benchmark) -> None:
    """Replays a phase's laps into a benchmark, with the case's axes and why sampling stopped.

    Raises:
        ValueError: The measurement has no laps.
    """
    findings = measurement.findings
    if findings is None:
        raise ValueError(f"{measurement.id}: has no laps ({measurement.status})")
    benchmark.group = measurement.case.id
    benchmark.extra_info.update(
        {
            **measurement.case.values(),
            "phase": phase,
            "stopped": findings.sampling.stopped,
        }
    )
    CLOCK.replay(findings.laps.decisive[phase], benchmark)
