"""Finds out of which objects a script's training is made: model, loaders, optimizers, batch."""

import gc
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stepbench.scripts.marks import KIND_BITS, MarkKind
from stepbench.scripts.worker.recorder import Recorder


def roots_of(optimizers: Iterable[Any]) -> list[nn.Module]:
    """The models whose parameters optimizers update: the outermost modules that hold any of them.

    They are looked for among all live objects, which takes some 0.1 s, so that no hook has to lie
    within what torch compiles.
    """
    wanted = {
        id(parameter)
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    holders = [
        module
        for module in gc.get_objects()
        if issubclass(type(module), nn.Module)
        and any(id(parameter) in wanted for parameter in module.parameters())
    ]
    inner = {id(child) for module in holders for child in _descendants(module)}
    return [module for module in holders if id(module) not in inner]


def _descendants(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.modules() if child is not module]


def with_parameters(module: nn.Module) -> list[nn.Module]:
    """The children of a module that have parameters."""
    return [child for child in module.children() if next(child.parameters(), None) is not None]


class CallMarker:
    """Marks the calls of a model, outside of what torch compiles.

    Args:
        recorder: Receives the marks.
        on_input: Called with the arguments of a call in which gradients are recorded; returns true
            to be called again.
        context: Makes the context in which the model is called; `None` for no context.

    Attributes:
        called: The modules that were called since they were marked, by identity.
        observes: True while `on_input` is called.
        trains_in_eval_mode: True if calls in `eval()` mode count as training, too.
    """

    def __init__(
        self,
        recorder: Recorder,
        on_input: Callable[[tuple[Any, ...], dict[str, Any]], bool],
        context: Callable[[], Any] | None = None,
    ) -> None:
        self._recorder = recorder
        self._on_input = on_input
        self._context = context
        self.called: dict[int, nn.Module] = {}
        self.trains_in_eval_mode = False
        self.observes = True
        self._marked: dict[int, nn.Module] = {}

    def watch(self, module: nn.Module) -> None:
        """Marks a model's calls from now on.

        torch calls `_compiled_call_impl` in the place of the module's own call, if there is one:
        this is how `module.compile()` works, too, whose function is kept. When torch compiles what
        calls the module, it passes by this function.
        """
        recorder, record = self._recorder, self._recorder.record
        begin, end = int(MarkKind.CALL), int(MarkKind.CALL_END)
        ident, now, is_grad_enabled = (
            threading.get_ident, time.perf_counter_ns, torch.is_grad_enabled,
        )  # fmt: skip
        plain: Callable[..., Any] = module._compiled_call_impl or module._call_impl
        in_context = plain if self._context is None else _in_context(self._context, plain)

        inner = plain

        def observed(*args: Any, **options: Any) -> Any:  # noqa: ANN401
            nonlocal inner
            self.called[id(module)] = module
            if is_grad_enabled() and (module.training or self.trains_in_eval_mode):
                self.observes = self.observes and self._on_input(args, options)
                if not self.observes:
                    inner = in_context
            return in_context(*args, **options)

        def call(*args: Any, **options: Any) -> Any:  # noqa: ANN401
            if recorder.thread != ident() and recorder.foreign():
                return plain(*args, **options)
            trains = is_grad_enabled() and (module.training or self.trains_in_eval_mode)
            record((trains << KIND_BITS | begin, now()))
            try:
                return inner(*args, **options)
            finally:
                record((end, now()))

        inner = observed
        module._compiled_call_impl = call
        self._marked[id(module)] = module

    def descend(self) -> None:
        """Watches the children of models that were never called, as Lightning's modules are."""
        for key, module in list(self._marked.items()):
            if key in self.called:
                continue
            self.unwatch(module)
            for child in with_parameters(module):
                self.watch(child)

    def unwatch(self, module: nn.Module) -> None:
        """Takes back `watch`."""
        del self._marked[id(module)]
        module.__dict__.pop("_compiled_call_impl", None)

    @property
    def models(self) -> list[nn.Module]:
        """The models that were called."""
        return list(self.called.values())


def _in_context(context: Callable[[], Any], call: Callable[..., Any]) -> Callable[..., Any]:
    def call_in_context(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        with context():
            return call(*args, **options)

    return call_in_context


def first_tensor(values: Any) -> Tensor | None:  # noqa: ANN401
    """The first tensor with a dimension in arguments, a batch or any nesting of them."""
    if isinstance(values, Tensor):
        return values if values.dim() else None
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, (list, tuple)):
        for value in values:
            found = first_tensor(value)
            if found is not None:
                return found
    return None


def autocast_precision(device: str) -> str | None:
    """The precision of autocast in force now, as an axis names it; `None` without autocast."""
    kind = device.partition(":")[0]
    if not torch.is_autocast_enabled(kind):
        return None
    names = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    return names.get(torch.get_autocast_dtype(kind))
