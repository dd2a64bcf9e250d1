"""Recordings of scripts, written as words: `F` fetches, `c` calls the model, and so on."""

from stepbench.scripts.marks import Mark, MarkKind

BEGINS = {
    "fetch": (MarkKind.FETCH, MarkKind.FETCH_END),
    "empty": (MarkKind.FETCH, MarkKind.FETCH_EMPTY),
    "move": (MarkKind.TRANSFER, MarkKind.TRANSFER_END),
    "call": (MarkKind.CALL, MarkKind.CALL_END),
    "backward": (MarkKind.BACKWARD, MarkKind.BACKWARD_END),
    "update": (MarkKind.OPTIMIZER, MarkKind.OPTIMIZER_END),
    "scaler": (MarkKind.SCALER, MarkKind.SCALER_END),
}


class Tape:
    """A recording that grows; each boundary, and each gap between two, takes a time of its own.

    Attributes:
        marks: The marks so far.
        now: The time, nanoseconds.
    """

    def __init__(self) -> None:
        self.now = 1_000
        self.marks = [Mark(MarkKind.RESUME, self.now)]

    def wait(self, ns: int) -> "Tape":
        """Lets time pass."""
        self.now += ns
        return self

    def begin(self, word: str, detail: int = 0) -> "Tape":
        """Enters a boundary."""
        self.marks.append(Mark(BEGINS[word][0], self.now, detail))
        return self

    def end(self, word: str, detail: int = 0) -> "Tape":
        """Leaves a boundary."""
        self.marks.append(Mark(BEGINS[word][1], self.now, detail))
        return self

    def do(self, word: str, ns: int, detail: int = 0) -> "Tape":
        """Enters a boundary, and leaves it after a time."""
        return self.begin(word, detail).wait(ns).end(word, detail)

    def train(self, *, loader: int | None = 0, calls: bool = True) -> "Tape":
        """A plain step: 5 ns of loading, 20 forward, 30 backward, 3 clipping, 7 update, 2 logging.

        Args:
            loader: The number of the iterator; `None` without a loader.
            calls: True if calls of the model are seen.
        """
        if loader is not None:
            self.do("fetch", 5, loader)
        if calls:
            self.wait(1).do("call", 14, 1).wait(5)
        else:
            self.wait(20)
        return self.do("backward", 30).wait(3).do("update", 7).wait(2)

    def evaluate(self, batches: int, *, loader: int | None = 1) -> "Tape":
        """Evaluates batches: 4 ns to load each, 6 for its call, 1 between them."""
        for _ in range(batches):
            if loader is not None:
                self.do("fetch", 4, loader)
            self.do("call", 6, 0).wait(1)
        if loader is not None:
            self.do("empty", 2, loader)
        return self
