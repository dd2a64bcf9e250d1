"""Ends a command by SIGTERM or SIGHUP in the same way as by Ctrl-C."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 2
"""The exit code of an interrupted command."""
MAX_DESCRIPTORS = 256
"""The descriptors below this number may refer to the terminal."""
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP


@contextmanager
def signals_as_ctrl_c() -> Iterator[None]:
    """Has SIGTERM and SIGHUP raise `KeyboardInterrupt` while the context lasts.

    A signal that is ignored stays ignored, as SIGHUP beneath `nohup`. Where SIGHUP says that the
    terminal was closed, what is printed later is dropped: writing it would fail.
    """
    terminals = {os.fstat(number).st_rdev for number in (1, 2) if os.isatty(number)}

    def interrupt(*_: object) -> NoReturn:
        for descriptor in range(MAX_DESCRIPTORS):  # pytest has copies of standard output
            if _device(descriptor) in terminals and not os.isatty(descriptor):
                _drop_output(descriptor)
        raise KeyboardInterrupt

    with _handling(interrupt):
        yield


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Ignores Ctrl-C, SIGTERM and SIGHUP while the context lasts, which should be short."""
    with _handling(signal.SIG_IGN):
        yield


def _device(descriptor: int) -> int | None:
    try:
        return os.fstat(descriptor).st_rdev
    except OSError:  # there is no such descriptor
        return None


def _drop_output(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


@contextmanager
def _handling(handler: "signal._HANDLER") -> Iterator[None]:
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number in numbers if before[number] is not signal.SIG_IGN]
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
