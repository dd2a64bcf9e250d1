"""Replaces settings as a script constructs its loader, optimizer and model: `--set`."""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from stepbench.errors import UsageError
from stepbench.scripts.worker.boundaries import Boundaries
from stepbench_reports.schema.axes import AxisValue

OF_WORKERS = ("prefetch_factor", "persistent_workers")
"""The settings of a loader that only one with workers takes."""
LOADER_SETTINGS = ("num_workers", *OF_WORKERS, "pin_memory", "batch_size")
_HOW_TO_COMPILE = ("mode", "options", "backend")
"""The arguments of `torch.compile` for which a value of the axis `compile` stands."""
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Replacer:
    """Replaces the settings of a script.

    Args:
        changes: The settings, by axis.

    Attributes:
        found: How often each setting was put in force.
    """

    def __init__(self, changes: Mapping[str, AxisValue]) -> None:
        self._changes = dict(changes)
        self.found: dict[str, int] = dict.fromkeys(changes, 0)

    def install(self, boundaries: Boundaries) -> None:
        """Has constructors take the settings; before the script calls them."""
        if set(LOADER_SETTINGS) & set(self._changes):
            boundaries.replace(DataLoader, "__init__", self._loader)
        if "compile" in self._changes:
            boundaries.replace(torch, "compile", self._compile)
        if "precision" in self._changes:
            boundaries.replace(torch.amp.autocast_mode.autocast, "__init__", self._autocast)

    def _loader(self, original: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def construct(loader: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401
            bound = signature.bind(loader, *args, **options)
            wanted = bound.arguments
            for name in LOADER_SETTINGS:
                if name not in self._changes:
                    continue
                if name == "batch_size" and not _takes_batch_size(wanted):
                    continue
                wanted[name] = self._changes[name]
                if name not in OF_WORKERS or wanted.get("num_workers", 0):
                    self.found[name] += 1
            if not wanted.get("num_workers", 0):
                for name in (*OF_WORKERS, "multiprocessing_context", "timeout"):
                    wanted.pop(name, None)
            original(*bound.args, **bound.kwargs)

        return construct

    def _compile(self, original: Callable[..., Any]) -> Callable[..., Any]:
        mode = self._changes["compile"]

        @functools.wraps(original)
        def compile_model(model: Any = None, **options: Any) -> Any:  # noqa: ANN401
            if model is None:
                return lambda function: compile_model(function, **options)
            # `module.compile()` compiles the bound method that calls the module.
            if isinstance(getattr(model, "__self__", model), nn.Module) or mode == "off":
                self.found["compile"] += 1
            if mode == "off":
                return model
            rest = {name: value for name, value in options.items() if name not in _HOW_TO_COMPILE}
            return original(model, **rest, **compile_options(str(mode)))

        return compile_model

    def _autocast(self, original: Callable[..., None]) -> Callable[..., None]:
        precision = str(self._changes["precision"])
        signature = inspect.signature(original)

        @functools.wraps(original)
        def construct(context: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401
            bound = signature.bind(context, *args, **options)
            if precision in AUTOCAST:  # a region that the script excludes remains excluded
                bound.arguments["dtype"] = AUTOCAST[precision]
            else:
                bound.arguments["enabled"] = False
            original(*bound.args, **bound.kwargs)

        return construct

    def prepare_optimizer(self, optimizer: Any) -> None:  # noqa: ANN401
        """Sets the implementation of an optimizer before its first step.

        Raises:
            UsageError: The optimizer has no such implementation.
        """
        wanted = self._changes.get("optimizer")
        if wanted is None or wanted == "own":
            self.found["optimizer"] = self.found.get("optimizer", 0) + 1
            return
        for group in optimizer.param_groups:
            if str(wanted) not in {"plain", *group}:
                raise UsageError(
                    f"--set optimizer={wanted}: {type(optimizer).__name__} has no such "
                    f"implementation; leave the setting out"
                )
            for name in {"foreach", "fused"} & set(group):
                group[name] = name == wanted
        if hasattr(optimizer, "_step_supports_amp_scaling"):
            # A fused optimizer is given the scale of a `GradScaler`; others cannot take it.
            optimizer._step_supports_amp_scaling = wanted == "fused"
        self.found["optimizer"] += 1

    def prepare_model(self, model: nn.Module) -> None:
        """Compiles a model in place, unless the script has compiled it, or it is to stay eager.

        Raises:
            UsageError: The model's weights have another precision than the one that is set.
        """
        self._refuse_other_weights(model)
        mode = str(self._changes.get("compile", "off"))
        if "compile" not in self._changes or self.found["compile"]:
            return
        self.found["compile"] += 1
        if mode != "off":
            # The script's own `torch.compile` is replaced above.
            options = compile_options(mode)
            model._compiled_call_impl = _original(torch.compile)(model._call_impl, **options)

    def _refuse_other_weights(self, model: nn.Module) -> None:
        """Refuses `precision=fp32` for weights of fewer bits, which it does not convert."""
        wanted = self._changes.get("precision")
        types = {p.dtype for p in model.parameters()} & {torch.bfloat16, torch.float16}
        if wanted == "fp32" and types:
            name = str(next(iter(types))).removeprefix("torch.")
            raise UsageError(
                f"--set precision=fp32: the script's weights are {name}, and the setting only "
                f"switches autocast; have the script make weights of float32, or leave it out"
            )

    def context(self, device: str) -> Callable[[], Any]:
        """Makes the context in which the model is called: autocast for `precision`."""
        precision = str(self._changes.get("precision", ""))
        if "precision" in self._changes:
            self.found["precision"] += 1
        if precision not in AUTOCAST:
            return nullcontext
        kind = device.partition(":")[0]
        return lambda: torch.autocast(kind, dtype=AUTOCAST[precision])

    def refuse_unfound(self) -> None:
        """Refuses settings for which the script constructed nothing.

        Raises:
            UsageError: A setting was put in force nowhere; the message says what was looked for.
        """
        for name, times in self.found.items():
            if not times:
                looked_for = {
                    "compile": "a model that an optimizer updates",
                    "precision": "a model that an optimizer updates",
                    "optimizer": "an optimizer of torch.optim",
                    "batch_size": "a torch.utils.data.DataLoader with a batch_size of its own",
                    "prefetch_factor": "a torch.utils.data.DataLoader with workers",
                    "persistent_workers": "a torch.utils.data.DataLoader with workers",
                }.get(name, "a torch.utils.data.DataLoader")
                raise UsageError(
                    f"--set {name}={self._changes[name]}: the script constructed nothing to set it "
                    f"on before its first steps were taken; looked for {looked_for}"
                )


def _takes_batch_size(arguments: Mapping[str, Any]) -> bool:
    """True if a loader makes batches itself, of a size that it was given."""
    return arguments.get("batch_sampler") is None and arguments.get("batch_size", 1) is not None


def compile_options(mode: str) -> dict[str, Any]:
    """The arguments of `torch.compile` for a value of the axis `compile`."""
    kind, _, backend = mode.partition(":")
    return {"backend": backend} if kind == "backend" else {"mode": mode}


def _original(function: Callable[..., Any]) -> Callable[..., Any]:
    wrapped: Callable[..., Any] = getattr(function, "__wrapped__", function)
    return wrapped
