"""A workload: a model, a data set, a loss and an optimizer.

Torch is imported for types alone, so that `from stepbench import Workload` costs nothing.
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
        model: Makes a fresh model, on the CPU and in training mode.
        dataset: Makes the data set to train on: map-style with a length, or a stream.
        loss: Takes the model's output and the target, gives a scalar; a `step` may do without. A
            model that computes its loss itself has one that picks it out, such as
            `lambda output, _: output.loss`.
        optimizer: Takes the model's parameters, gives the optimizer. One that takes the model
            itself and gives several, by name, is `optimizers`.
        optimizers: Takes the model, gives its optimizers by name: for a `step` that has several.
        clip: Takes an optimizer's parameters and changes their gradients before it steps, such as
            `lambda parameters: clip_grad_norm_(parameters, 1.0)`. Precision's scaling is undone by
            then.
        scheduler: Takes an optimizer, gives a scheduler of its learning rate that steps after it.
        step: One step of training where the usual one will not do: takes a
            `stepbench.Step`, gives a loss.
        test_dataset: Makes the data set for test accuracy, where there is one.
        metric: What evaluation adds up over the batches: takes the model's output and the target,
            gives a scalar, such as how many answers are right. `None` adds up the loss.
        split: Takes a batch as its loader gives it, gives the model's inputs and the target. A
            tuple of inputs is handed to the model as its positional arguments, a mapping as its
            keyword arguments, anything else as its one argument. `None` is for batches that are
            such pairs.
        collate: Makes a batch of a list of items; `None` is the `DataLoader`'s own way.
        loader: Further arguments of the `DataLoader`, by name.
        data: What is known of the data set, where it is one of stepbench's own.
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
        """Refuses what could not be used later, where the mistake was made."""
        needed = {"model", "dataset", "loss", "optimizer"}
        if self.step is not None:
            needed -= {"loss"}
        if self.optimizers is not None:
            needed -= {"optimizer"}
        for name in CALLED:
            given = getattr(self, name)
            if name in needed and given is None:
                raise UsageError(f"Workload: {name}= is missing; give a function")
            if given is not None and not callable(given):
                raise UsageError(
                    f"Workload({name}=...): is {type(given).__name__}, which cannot "
                    f"be called; give a function, such as lambda: ..."
                )
        if self.optimizers is not None and (self.optimizer is not None or self.step is None):
            wrong = "besides optimizer=" if self.optimizer is not None else "without a step="
            raise UsageError(
                f"Workload(optimizers=...) {wrong}: several optimizers go with a step that says "
                f"when each of them steps; give optimizer= alone, or optimizers= and step="
            )
        axes = {"num_workers", "prefetch_factor", "persistent_workers", "pin_memory"}
        if clash := sorted(axes & set(self.loader)):
            raise UsageError(
                f"Workload(loader={{{clash[0]!r}: ...}}): is an axis; "
                f"leave it out and give --{clash[0].replace('_', '-')}"
            )
        taken = {"dataset", "batch_size", "sampler", "shuffle", "batch_sampler", "drop_last"}
        if clash := sorted(taken & set(self.loader)):
            raise UsageError(
                f"Workload(loader={{{clash[0]!r}: ...}}): stepbench sets this itself; leave it out"
            )

    def made_optimizers(self, model: "nn.Module") -> "dict[str, Optimizer]":
        """New optimizers of a model, by name.

        Raises:
            UsageError: There are none.
        """
        if self.optimizer is not None:
            return {"optimizer": self.optimizer(model.parameters())}
        made = dict(self.optimizers(model)) if self.optimizers is not None else {}
        if not made:
            raise UsageError("Workload(optimizers=...): gave none; give {name: optimizer, ...}")
        return made


CALLED = (
    *("model", "dataset", "loss", "optimizer", "optimizers", "clip", "scheduler", "step"),
    *("test_dataset", "metric", "split", "collate"),
)
"""The fields of a workload that are functions."""
