from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from stepbench.benchmarks.benchmark_replay import LapClock


class Recorder:
    """Replaces pytest-benchmark's fixture: reads the clock before and after each round."""

    def __init__(self, clock: LapClock) -> None:
        self.clock = clock
        self.extra_info: dict[str, object] = {}
        self.group: str | None = None
        self.data: list[float] = []

    def pedantic(
        self, target: Callable[[], None], *, setup: Callable[[], None], rounds: int
    ) -> None:
        for _ in range(rounds):
            setup()
            begin = self.clock()
            target()
            self.data.append(self.clock() - begin)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1))
def test_laps_are_replayed_bit_for_bit(laps: list[float]) -> None:
    clock = LapClock()
    recorder = Recorder(clock)
    clock.replay(laps, recorder)
    assert recorder.data == laps
