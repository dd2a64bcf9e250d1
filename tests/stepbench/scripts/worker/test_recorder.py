import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from stepbench.scripts.marks import MarkKind
from stepbench.scripts.worker.recorder import Recorder


class CountingClock:
    """A device's clock whose events are numbers, a second apart."""

    asynchronous = True
    clock_name = "counting"

    def __init__(self) -> None:
        self.count = 0

    def now_ns(self) -> int:
        raise AssertionError("marks read the host's clock themselves")

    def recorder(self, marks: int) -> Callable[[], object]:
        assert marks > 0

        def record() -> object:
            self.count += 1
            return self.count

        return record

    def synchronize(self) -> None:
        """Nothing is queued."""

    def elapsed_s(self, begin: object, end: object) -> float:
        assert isinstance(begin, int)
        assert isinstance(end, int)
        return float(end - begin)

    def release(self, marks: Iterable[object]) -> None:
        """Events are numbers."""


def test_marks_are_taken_once_and_in_order() -> None:
    recorder = Recorder(lambda: None)
    recorder.resume()
    recorder.mark(MarkKind.FETCH, 7)
    marks, events = recorder.take()
    assert [(mark.kind, mark.detail) for mark in marks] == [
        (MarkKind.RESUME, 0), (MarkKind.FETCH, 7),
    ]  # fmt: skip
    assert marks[0].ns <= marks[1].ns
    assert events == []
    assert recorder.take() == ([], [])


def test_on_an_asynchronous_device_each_mark_has_an_event_until_marks_are_taken() -> None:
    recorder = Recorder(lambda: None, exchangeable=True)
    recorder.record_events(CountingClock())
    recorder.mark(MarkKind.TRANSFER, 0)
    recorder.unmark(MarkKind.TRANSFER)
    recorder.unmark(MarkKind.FETCH)
    recorder.mark(MarkKind.FETCH, 0)
    recorder.mark(MarkKind.FETCH_END, 0)
    marks, events = recorder.take()
    assert [mark.kind for mark in marks] == [MarkKind.FETCH, MarkKind.FETCH_END]
    assert events == [2, 3]
    recorder.mark(MarkKind.FETCH, 0)
    assert recorder.take()[1] == []


def test_the_thread_of_the_first_update_counts() -> None:
    ends: list[int] = []
    recorder = Recorder(lambda: ends.append(threading.get_ident()))
    assert not recorder.foreign()
    thread = threading.Thread(target=lambda: recorder.end_update(0))
    thread.start()
    thread.join()
    assert recorder.foreign()
    assert len(ends) == 1


def test_only_the_main_optimizer_ends_steps() -> None:
    ends: list[int] = []
    recorder = Recorder(lambda: ends.append(1))
    recorder.end_update(0)
    recorder.end_update(1)
    recorder.main_optimizer = 1
    recorder.end_update(0)
    recorder.end_update(1)
    assert len(ends) == 3


def test_a_stretch_of_steps_is_held_at_its_end_alone() -> None:
    taken: list[int] = []
    recorder = Recorder(lambda: taken.append(recorder.end_stretch()))
    recorder.begin_stretch(3)
    recorder.end_update(0)
    assert (recorder.taken, taken) == (1, [])
    for _ in range(3):
        recorder.end_update(0)
    assert taken == [3, 1]


def test_marks_are_recorded_within_a_context_until_they_are_taken() -> None:
    entered: list[int] = []

    @contextmanager
    def context() -> Iterator[None]:
        entered.append(1)
        yield

    recorder = Recorder(lambda: None, exchangeable=True)
    recorder.record_within(context)
    recorder.mark(MarkKind.FETCH, 3)
    assert [mark.detail for mark in recorder.take()[0]] == [3]
    recorder.mark(MarkKind.FETCH, 4)
    assert [mark.detail for mark in recorder.take()[0]] == [4]
    assert len(entered) == 1
