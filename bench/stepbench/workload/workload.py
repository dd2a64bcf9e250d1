"""A workload: a model, its data, a loss and an optimizer.

Torch is imported only for types, so `from stepbench import Workload` is fast.
"""

import inspect
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
    """A model, its data, a loss and an optimizer.

    Attributes:
        model: Makes a new model, on the CPU and in training mode.
        dataset: Makes the training data set: map-style with a length, or iterable-style.
        batches: Makes the batches itself, instead of a data set and a `DataLoader`: takes the batch
            size, returns an iterator of batches, or a function that returns the next batch. All
            batches have that many samples, on the CPU. There are then no loader workers.
        loss: Takes the model's output and the target, returns a scalar; optional with `step`. For
            a model that computes the loss itself, a function that returns this loss, such as
            `lambda output, _: output.loss`.
        optimizer: Returns the optimizer. If its argument has the name `model`, it takes the model,
            else the model's parameters. For several optimizers, use `optimizers` instead.
        optimizers: Takes the model, returns its optimizers by name; for a `step` that uses several.
        clip: Takes the list of an optimizer's parameters and changes their gradients before the
            optimizer steps, such as `lambda parameters: clip_grad_norm_(parameters, 1.0)`. The
            gradients are already unscaled.
        schedule: Takes the number of a step, from 0; returns the factor by which the optimizer's
            learning rates are multiplied in this step.
        scheduler: Takes an optimizer, returns a learning rate scheduler that steps after it.
        step: A custom training step: takes a `stepbench.Step`, returns a loss. `None` uses the
            standard step.
        test_dataset: Makes the data set for test accuracy; `None` if there is no test data.
        test_batches: Makes the batches for test accuracy, as `batches` makes those for training.
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
    dataset: "Callable[[], Dataset[Any]] | None" = None
    batches: Callable[[int], Iterable[Any] | Callable[[], Any]] | None = None
    loss: "Callable[[Any, Any], Tensor] | None" = None
    optimizer: "Callable[[Any], Optimizer] | None" = None
    optimizers: "Callable[[nn.Module], Mapping[str, Optimizer]] | None" = None
    clip: "Callable[[list[nn.Parameter]], Any] | None" = None
    schedule: Callable[[int], float] | None = None
    scheduler: "Callable[[Optimizer], LRScheduler] | None" = None
    step: "Callable[[Any], Tensor] | None" = None
    test_dataset: "Callable[[], Dataset[Any]] | None" = None
    test_batches: Callable[[int], Iterable[Any] | Callable[[], Any]] | None = None
    metric: "Callable[[Any, Any], Tensor] | None" = None
    split: Callable[[Any], tuple[Any, Any]] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    loader: Mapping[str, Any] = field(default_factory=dict)
    data: sources.DataSource | None = None

    def __post_init__(self) -> None:
        """Raises `UsageError` for arguments that would fail later."""
        required = {"model", "dataset", "loss", "optimizer"}
        if self.batches is not None:
            required -= {"dataset"}
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
        self._refuse_contradictions()
        self._refuse_wrong_loader()

    def _refuse_contradictions(self) -> None:
        for first, second, remedy in CONTRADICTIONS:
            if getattr(self, first) is not None and getattr(self, second):
                raise UsageError(f"Workload({first}=..., {second}=...): {remedy}")

    def _refuse_wrong_loader(self) -> None:
        if not isinstance(self.loader, Mapping):
            raise UsageError(
                f"Workload(loader=...): is {type(self.loader).__name__}; give the arguments of a "
                f"DataLoader by name, such as {{'timeout': 60}}"
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

    @property
    def has_test_data(self) -> bool:
        """True if there are test data."""
        return self.test_dataset is not None or self.test_batches is not None

    def make_optimizers(self, model: "nn.Module") -> "dict[str, Optimizer]":
        """Makes the optimizers of a model and returns them by name.

        Raises:
            UsageError: The function `optimizer` or `optimizers` returned no optimizer.
        """
        if self.optimizer is not None:
            takes_model = _first_argument(self.optimizer) == "model"
            optimizer = self.optimizer(model if takes_model else model.parameters())
            if not hasattr(optimizer, "param_groups"):
                raise UsageError(
                    f"Workload(optimizer=...): returned {type(optimizer).__name__}; return a "
                    f"torch.optim.Optimizer"
                )
            return {"optimizer": optimizer}
        optimizers = dict(self.optimizers(model)) if self.optimizers is not None else {}
        if not optimizers:
            raise UsageError(
                "Workload(optimizers=...): returned no optimizer; return {name: optimizer, ...}"
            )
        return optimizers


def _first_argument(function: Callable[..., object]) -> str | None:
    """The name of a function's first argument; `None` if it has none or does not say."""
    try:
        return next(iter(inspect.signature(function).parameters), None)
    except (TypeError, ValueError):  # some functions of C have no signature
        return None


FUNCTIONS = (
    *("model", "dataset", "batches", "loss", "optimizer", "optimizers", "clip", "schedule"),
    *("scheduler", "step", "test_dataset", "test_batches", "metric", "split", "collate"),
)
"""The fields of a workload that are functions."""
CONTRADICTIONS = (
    ("dataset", "batches", "each is the training data; give one of them"),
    ("test_dataset", "test_batches", "each is the test data; give one of them"),
    ("schedule", "scheduler", "each sets the learning rate; give one of them"),
    ("batches", "loader", "there is no DataLoader with batches=; leave loader= out"),
)
"""Fields that exclude each other, and the remedy."""
