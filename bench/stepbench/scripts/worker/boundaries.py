"""Hooks at the boundaries of a step: fetch, transfer, the model's call, backward, update.

Each hook marks the begin and the end of a function of torch that stays as it is. None lies within a
model, so nothing is added to what torch compiles.
"""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch.optim import Optimizer
from torch.utils.data import dataloader

from stepbench.devices import kinds
from stepbench.scripts.marks import KIND_BITS, MarkKind
from stepbench.scripts.worker.mark_codes import MarkCodes
from stepbench.scripts.worker.recorder import NO_THREAD, Recorder

ident, now = threading.get_ident, time.perf_counter_ns
_BACKWARD, _BACKWARD_END = int(MarkKind.BACKWARD), int(MarkKind.BACKWARD_END)
_OPTIMIZER = int(MarkKind.OPTIMIZER)
"""Kinds as plain numbers: the look-up of a member of an enumeration takes time; see `Recorder`."""


class Boundaries:
    """The hooks in this process.

    Args:
        recorder: Receives the marks.
        observer: Is told of objects and values that marks do not hold.
    """

    def __init__(self, recorder: Recorder, observer: "Observer") -> None:
        self._recorder = recorder
        self._observer = observer
        self._undo = ExitStack()
        fetch = (MarkKind.FETCH, MarkKind.FETCH_END, MarkKind.FETCH_EMPTY)
        self._iterators = MarkCodes(recorder, fetch, observer.iterator)
        update = (MarkKind.OPTIMIZER, MarkKind.OPTIMIZER_END)
        self._optimizers = MarkCodes(recorder, update, self._first_update)
        self._kept: list[Any] = []  # an optimizer's identity is its own as long as it lives

    def install(self) -> None:
        """Installs all hooks."""
        self._count_in(None)
        self._hook_fetches()
        self._hook_backward()
        self._hook_optimizers()
        self._hook_scaler()
        if kinds.listed_without_torch() != ("cpu",):
            self._hook_transfers()

    def remove(self) -> None:
        """Removes all hooks; what was hooked is as before."""
        self._count_in(NO_THREAD)  # for hooks that someone keeps
        self._undo.close()

    def _count_in(self, thread: int | None) -> None:
        self._recorder.thread = thread
        self._iterators.known.clear()
        self._optimizers.known.clear()

    def replace(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:  # noqa: ANN401
        """Replaces an attribute until the hooks are removed.

        Args:
            owner: A module or a class.
            name: The attribute.
            make: Takes the original, and returns its replacement.
        """
        original = owner.__dict__[name]
        setattr(owner, name, make(original))
        self._undo.callback(setattr, owner, name, original)

    def _hook_fetches(self) -> None:
        record, iterators, known = self._recorder.record, self._iterators, self._iterators.known

        def make_init(original: Callable[..., None]) -> Callable[..., None]:
            @functools.wraps(original)
            def init(self: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401
                iterators.forget(self)
                original(self, *args, **options)

            return init

        def make(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
            @functools.wraps(original)
            def next_batch(iterator: Any) -> Any:  # noqa: ANN401
                try:
                    codes = known[id(iterator)]
                except KeyError:
                    codes = iterators.find(iterator)
                if codes is None:
                    return original(iterator)
                begin, end, ended = codes
                record((begin, now()))
                try:
                    batch = original(iterator)
                    ended = end
                finally:
                    record((ended, now()))
                return batch

            return next_batch

        self.replace(dataloader._BaseDataLoaderIter, "__init__", make_init)
        self.replace(dataloader._BaseDataLoaderIter, "__next__", make)

    def _hook_backward(self) -> None:
        recorder, record, observer = self._recorder, self._recorder.record, self._observer

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def backward(tensors: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
                if recorder.thread != ident() and recorder.foreign():
                    return original(tensors, *args, **options)
                if recorder.keeps_losses:
                    observer.loss(tensors)
                record((_BACKWARD, now()))
                try:
                    return original(tensors, *args, **options)
                finally:
                    record((_BACKWARD_END, now()))

            return backward

        self.replace(torch.autograd, "backward", make)

    def _hook_optimizers(self) -> None:
        """Wraps `step` of each class of optimizers, as torch itself does, and outside of that.

        torch's global hooks lie within a profiler's record, whose time belongs to the step, too.
        """

        def make(original: Callable[..., Any]) -> Any:  # noqa: ANN401  # a static method
            def profile_hook_step(step: Callable[..., Any]) -> Callable[..., Any]:
                return self._marked(original(step))

            return staticmethod(profile_hook_step)

        self.replace(Optimizer, "profile_hook_step", make)
        for optimizer in _subclasses(Optimizer):
            if getattr(optimizer.__dict__.get("step"), "hooked", False):  # made before
                self.replace(optimizer, "step", self._marked)

    def _marked(self, step: Callable[..., Any]) -> Callable[..., Any]:
        recorder, record = self._recorder, self._recorder.record
        optimizers, known = self._optimizers, self._optimizers.known
        is_compiling = torch.compiler.is_dynamo_compiling

        @functools.wraps(step)
        def marked(optimizer: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
            if is_compiling():
                return step(optimizer, *args, **options)
            try:
                codes = known[id(optimizer)]
            except KeyError:
                codes = optimizers.find(optimizer)
            outer = recorder.update
            if codes is None or outer == _OPTIMIZER:  # elsewhere, or `super().step()`
                return step(optimizer, *args, **options)
            begin, end = codes
            recorder.update = _OPTIMIZER
            record((begin, now()))
            try:
                result = step(optimizer, *args, **options)
            finally:
                record((end, now()))
                recorder.update = outer
            if not outer:  # `end_update`, written out
                main = recorder.main_optimizer
                if main is None or main == begin >> KIND_BITS:
                    recorder.left -= 1
                    if recorder.left <= 0:
                        recorder.hold()
            return result

        return marked

    def _first_update(self, number: int, optimizer: Any) -> None:  # noqa: ANN401
        self._kept.append(optimizer)
        self._observer.update(number, optimizer)

    def _hook_scaler(self) -> None:
        recorder = self._recorder

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def step(scaler: Any, optimizer: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
                if recorder.foreign():
                    return original(scaler, optimizer, *args, **options)
                inner = optimizer
                while "optimizer" in inner.__dict__:  # a wrapper, such as accelerate's
                    inner = inner.optimizer
                number = self._optimizers.number_of(inner)
                outer, recorder.update = recorder.update, int(MarkKind.SCALER)
                recorder.mark(MarkKind.SCALER, number)
                try:
                    result = original(scaler, optimizer, *args, **options)
                finally:
                    recorder.mark(MarkKind.SCALER_END, number)
                    recorder.update = outer
                if not outer:
                    recorder.end_update(number)
                return result

            return step

        self.replace(torch.amp.grad_scaler.GradScaler, "step", make)

    def _hook_transfers(self) -> None:
        recorder = self._recorder

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def move(tensor: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
                if torch.compiler.is_compiling() or tensor.device.type != "cpu":
                    return original(tensor, *args, **options)
                if recorder.foreign():
                    return original(tensor, *args, **options)
                recorder.mark(MarkKind.TRANSFER, 0)
                moved = None
                try:
                    moved = original(tensor, *args, **options)
                finally:
                    if moved is not None and moved.device.type == "cpu":
                        recorder.unmark(MarkKind.TRANSFER)  # only another data type
                    else:
                        recorder.mark(MarkKind.TRANSFER_END, 0)
                return moved

            return move

        self.replace_inherited(torch.Tensor, "to", make)
        self.replace_inherited(torch.Tensor, "cuda", make)

    def replace_inherited(
        self,
        owner: type,
        name: str,
        make: Callable[[Any], Any],
    ) -> None:
        """Defines an attribute that a class inherits, until the hooks are removed."""
        setattr(owner, name, make(getattr(owner, name)))
        self._undo.callback(delattr, owner, name)


def _subclasses(base: type) -> Iterator[type]:
    children: list[type] = base.__subclasses__()
    for child in children:
        yield child
        yield from _subclasses(child)


class Observer:
    """Is told of objects and values at boundaries; this one ignores them."""

    def iterator(self, number: int, iterator: Any) -> None:  # noqa: ANN401
        """Is told of an iterator of a `DataLoader` at its first fetch."""

    def loss(self, tensors: Any) -> None:  # noqa: ANN401
        """Is told of the tensors from which a backward pass begins."""

    def update(self, number: int, optimizer: Any) -> None:  # noqa: ANN401
        """Is told of an optimizer at the begin of its first update."""
