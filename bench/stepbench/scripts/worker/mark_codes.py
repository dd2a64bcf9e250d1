"""The codes of the marks at the boundaries of objects: of iterators, of optimizers."""

import itertools
from collections.abc import Callable
from typing import Any

from stepbench.scripts.marks import MarkKind, code_of
from stepbench.scripts.worker.recorder import Recorder


class MarkCodes:
    """Numbers objects in the order in which they are first seen; keeps the codes of their marks.

    They lie here and not in the objects, whose attributes are found faster without further ones.

    Args:
        recorder: Knows the thread whose marks count.
        kinds: The kinds of an object's marks.
        first_seen: Called with an object and its number when it is first seen.

    Attributes:
        known: The codes, by the object's identity, in the order of the kinds; `None` for an object
            that is used in another thread. Hooks look here before they call `find`. Empty until
            the thread is known.
    """

    def __init__(
        self,
        recorder: Recorder,
        kinds: tuple[MarkKind, ...],
        first_seen: Callable[[int, Any], None],
    ) -> None:
        self._recorder = recorder
        self._kinds = kinds
        self._first_seen = first_seen
        self._count = itertools.count()
        self._numbers: dict[int, int] = {}
        self.known: dict[int, tuple[int, ...] | None] = {}

    def find(self, each: Any) -> tuple[int, ...] | None:  # noqa: ANN401
        """The codes of an object's marks; `None` in another thread."""
        if self._recorder.foreign():
            codes = None
        else:
            number = self.number_of(each)
            codes = tuple(code_of(kind, number) for kind in self._kinds)
        if self._recorder.thread is not None:
            self.known[id(each)] = codes
        return codes

    def number_of(self, each: Any) -> int:  # noqa: ANN401
        """The number of an object, which is given when it is first seen."""
        number = self._numbers.get(id(each))
        if number is None:
            number = self._numbers[id(each)] = next(self._count)
            self._first_seen(number, each)
        return number

    def forget(self, each: Any) -> None:  # noqa: ANN401
        """Forgets an object that had the same identity and has ended."""
        self.known.pop(id(each), None)
        self._numbers.pop(id(each), None)
