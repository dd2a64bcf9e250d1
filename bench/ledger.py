"""pytest-benchmark as the ledger: durations from a child process told to it as if taken here."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from bench.measurement import Measurement


class Benchmark(Protocol):
    """What is used of pytest-benchmark's fixture."""

    extra_info: dict[str, Any]
    group: str | None

    def pedantic(
        self, target: Callable[[], None], *, setup: Callable[[], None], rounds: int
    ) -> None:
        """Runs `target` so many times, each after `setup`."""
        ...


class LapClock:
    """A timer for pytest-benchmark that shows durations measured in another process.

    It stands still, except when the benchmarked function advances it by the next lap.
    """

    __name__ = "child_process_clock"

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        """The time shown, seconds."""
        return self._now_s

    def replay(self, laps_s: Sequence[float], benchmark: Benchmark) -> None:
        """Has a benchmark see these laps, bit for bit.

        The clock starts each round at 0, so that a difference of two readings is the lap itself.
        """
        coming = iter(laps_s)

        def reset() -> None:
            self._now_s = 0.0

        def tick() -> None:
            self._now_s = next(coming)

        benchmark.pedantic(tick, setup=reset, rounds=len(laps_s))


CLOCK = LapClock()


def enter(measurement: Measurement, phase: str, benchmark: Benchmark) -> None:
    """Enters a phase's laps, with what pytest-benchmark cannot know of them."""
    benchmark.group = measurement.case.id
    benchmark.extra_info.update(
        {
            **measurement.case.values(),
            "phase": phase,
            "stopped": measurement.findings["sampling"]["stopped"],
        }
    )
    CLOCK.replay(measurement.laps[phase], benchmark)
