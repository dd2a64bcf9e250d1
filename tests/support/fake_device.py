"""An asynchronous device and a clock, neither of which takes real time."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class FakeClock:
    """A clock that only `advance` moves, in nanoseconds."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, duration_ns: int) -> None:
        self.now_ns += duration_ns


class FakeQueue:
    """An asynchronous device, whose queued work overlaps with the host's."""

    asynchronous = True
    clock_name = "fake events"

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.free_ns = 0
        self.expected_marks = 0
        self.recorded = 0
        self.released = 0

    def queue(self, duration_ns: int) -> None:
        self.free_ns = max(self.free_ns, self._clock.now_ns) + duration_ns

    def now_ns(self) -> int:
        return self._clock()

    def release(self, events: Iterable[object]) -> None:
        self.released += len(list(events))

    def recorder(self, marks: int) -> Callable[[], object]:
        self.expected_marks = marks

        def record() -> object:
            self.recorded += 1
            return max(self.free_ns, self._clock.now_ns)

        return record

    def synchronize(self) -> None:
        self._clock.now_ns = max(self._clock.now_ns, self.free_ns)

    def elapsed_s(self, begin: object, end: object) -> float:
        assert isinstance(begin, int)
        assert isinstance(end, int)
        return (end - begin) / 1e9


class Spin(torch.autograd.Function):
    """Returns its input; calls a function in forward and another in backward."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, forward: Callable[[], None], back: Callable[[], None]
    ) -> Any:
        ctx.back = back
        forward()
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.back()
        return gradients[0], None, None
