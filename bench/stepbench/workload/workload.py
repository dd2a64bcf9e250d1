"""A workload: a model, a data set, a loss and an optimizer.

Torch is imported only for types, so `from stepbench import Workload` is fast.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stepbench.data import sources
from stepbench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from torch.utils.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model, a data set, a loss and an optimizer.

    Attributes:
        model: Makes a new model, on the CPU and in training mode.
        dataset: Makes the training data set: map-style with a length, or iterable-style.
        loss: Takes the model's output and the target, returns a scalar; optional with `step`. For
            a model that computes the loss itself, a function that returns this loss, such as
            `lambda output, _: output.loss`.
        optimizer: Takes the model's parameters, returns the optimizer. For several optimizers, use
            `optimizers` instead.
        optimizers: Takes the model, returns its optimizers by name; for a `step` that uses several.
        clip: Takes the list of an optimizer's parameters and changes their gradients before the
            optimizer steps, such as `lambda parameters: clip_grad_norm_(parameters, 1.0)`. The
            gradients are already unscaled.
        scheduler: Takes an optimizer, returns a learning rate scheduler that steps after it.
        step: A custom training step: takes a `stepbench.Step`, returns a loss. `None` uses the
            standard step.
        test_dataset: Makes the data set for test accuracy; `None` if there is no test data.
        metric: Takes the model's output and the target, returns a scalar that evaluation sums over
            batches, such as the number of correct answers. `None` sums the loss.
        split: Takes a batch from the loader, returns the pair (inputs, target). The model receives
            a tuple of inputs as positional arguments, a mapping as keyword arguments, and anything
            else as one argument. `None` is for batches that are such pairs.
        collate: Makes a batch from a list of items; `None` uses the `DataLoader`'s default.
        loader: Further arguments of the `DataLoader`, by name.
        data: The description of the data set if it is one of stepbench's; else `None`.
    """

    model: "Callable[[], nn.Module]"
    dataset: "Callable[[], Dataset[Any]]"
    loss: "Callable[[Any, Any], Tensor] | None" = None
    optimizer: "Callable[[Iterable[nn.Parameter]], Optimizer] | None" = None
    optimizers: "Callable[[nn.Module], Mapping[str, Optimizer]] | None" = None
    clip: "Callable[[list[nn.Parameter]], Any] | None" = None
    scheduler: "Callable[[Optimizer], LRScheduler] | None" = None
    step: "Callable[[Any], Tensor] | None" = None
    test_dataset: "Callable[[], Dataset[Any]] | None" = None
    metric: "Callable[[Any, Any], Tensor] | None" = None
    split: Callable[[Any], tuple[Any, Any]] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    loader: Mapping[str, Any] = field(default_factory=dict)
    data: sources.DataSource | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` for arguments that would fail later."""
        required = {"model", "dataset", "loss", "optimizer"}
        if self.step is not None:
            required -= {"loss"}
        if self.optimizers is not None:
            required -= {"optimizer"}
        for name in FUNCTIONS:
            function = getattr(self, name)
            if name in required and function is None:
                raise UsageError(f"Workload: {name}= is missing; give a function")
            if function is not None and not callable(function):
                raise UsageError(
                    f"Workload({name}=...): is {type(function).__name__}, not a "
                    f"function; give a function, such as lambda: ..."
                )
        if self.optimizers is not None and (self.optimizer is not None or self.step is None):
            problem = "with optimizer=" if self.optimizer is not None else "without a step="
            raise UsageError(
                f"Workload(optimizers=...) {problem}: several optimizers need a custom step that "
                f"updates each of them; give optimizer= alone, or optimizers= and step="
            )
        axes = {"num_workers", "prefetch_factor", "persistent_workers", "pin_memory"}
        if clash := sorted(axes & set(self.loader)):
            raise UsageError(
                f"Workload(loader={{{clash[0]!r}: ...}}): is an axis; "
                f"leave it out and use --{clash[0].replace('_', '-')}"
            )
        reserved = {"dataset", "batch_size", "sampler", "shuffle", "batch_sampler", "drop_last"}
        if clash := sorted(reserved & set(self.loader)):
            raise UsageError(
                f"Workload(loader={{{clash[0]!r}: ...}}): stepbench sets this; leave it out"
            )

    def make_optimizers(self, model: "nn.Module") -> "dict[str, Optimizer]":
        """Makes the optimizers of a model and returns them by name.

        Raises:
            UsageError: The function `optimizers` returned no optimizer.
        """
        if self.optimizer is not None:
            return {"optimizer": self.optimizer(model.parameters())}
        optimizers = dict(self.optimizers(model)) if self.optimizers is not None else {}
        if not optimizers:
            raise UsageError(
                "Workload(optimizers=...): returned no optimizer; return {name: optimizer, ...}"
            )
        return optimizers


FUNCTIONS = (
    *("model", "dataset", "loss", "optimizer", "optimizers", "clip", "scheduler", "step"),
    *("test_dataset", "metric", "split", "collate"),
)
"""The fields of a workload that are functions."""
