"""What is trained: workloads, and how they are found by name.

This module imports torch only for types, so that `from bench import Workload` costs nothing.
"""

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bench import data as data_sets
from bench import tokens
from bench.case import OWN_DATASET, near
from bench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from torch.utils.data import Dataset

    from bench.cycle import Step

SHIPPED = Path(__file__).resolve().parent.parent / "models"
"""Where the shipped workloads lie. They are reached by place, never by the name `models`, which
may well be a package of the repository that is being measured."""


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
        step: One step of training where the usual one will not do: takes a `bench.cycle.Step`,
            gives a loss.
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
    step: "Callable[[Step], Tensor] | None" = None
    test_dataset: "Callable[[], Dataset[Any]] | None" = None
    metric: "Callable[[Any, Any], Tensor] | None" = None
    split: Callable[[Any], tuple[Any, Any]] | None = None
    collate: Callable[[list[Any]], Any] | None = None
    loader: Mapping[str, Any] = field(default_factory=dict)
    data: data_sets.DataSource | None = None

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
DEFAULT_DATASET = "cifar10"
"""What shipped workloads on images train on, unless told otherwise."""


def right_answers(scores: "Tensor", targets: "Tensor") -> "Tensor":
    """How many of a batch are classified right, as the lesson counts them.

    Args:
        scores: (N, classes), or (N, classes, ...) with a class for each of a sample's places.
        targets: Class numbers, (N,) or (N, ...).

    Returns:
        The number; where a sample has many places, the sum of each sample's share of them.
    """
    right = scores.argmax(1) == targets
    return right.sum() if right.dim() == 1 else right.flatten(1).float().mean(1).sum()


@dataclass(frozen=True)
class DataChoice:
    """Which data a shipped workload trains on, from the command line.

    Attributes:
        name: A name from `bench.data.DATASETS`; or `own`, the workload's own.
        directory: Where the real data lie; `None` for data that stepbench draws.
        download: Whether the published data set may be fetched.
    """

    name: str
    directory: Path | None = None
    download: bool = False

    def source(self, image_size: int | None = None) -> data_sets.DataSource:
        """Images and their classes, at least `image_size` pixels wide where that is given."""
        name = DEFAULT_DATASET if self.name == OWN_DATASET else self.name
        return data_sets.source(
            name, data_dir=self.directory, download=self.download, image_size=image_size
        )

    def tokens(self, length: int) -> data_sets.DataSource:
        """Windows of so many tokens, (tokens, next tokens) by index.

        Raises:
            UsageError: Images were asked for, or there are no tokens in the directory.
        """
        if self.name != OWN_DATASET:
            raise UsageError(
                f"--dataset {self.name}: this workload trains on tokens; leave the option out, or "
                f"name a directory with train.bin and test.bin by --data-dir"
            )
        if self.download:
            raise UsageError("--download: only CIFAR-10 can be fetched; leave it out")
        return tokens.source(length, self.directory)


def load(spec: str, choice: DataChoice, shipped: Path = SHIPPED) -> Workload:
    """The workload that a name or a place stands for.

    Args:
        spec: A shipped name (`convnet`, `resnet18`), `path/to/file.py:make` or
            `package.module:make`.
        choice: The data for shipped workloads, and for a `make` that takes one argument.
        shipped: Where the shipped workloads lie.

    Raises:
        UsageError: There is no such workload, or what its `make` does is not to be used.
    """
    make = _find(spec, shipped)
    try:
        made = make(choice) if _takes_data(make) else make()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(told(spec, "raised", error)) from error
    if not isinstance(made, Workload):
        raise UsageError(
            f"--workload {spec}: it returned {type(made).__name__}; return a bench.Workload"
        )
    return made


def _find(spec: str, shipped: Path) -> Callable[..., object]:
    place, colon, attribute = spec.rpartition(":")
    if not colon:
        return _shipped(spec, shipped)
    try:
        module = _module_at(Path(place)) if place.endswith(".py") else _module_named(place, spec)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(told(spec, "could not be imported:", error)) from error
    found = getattr(module, attribute, None)
    if not callable(found):
        own = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        hint = near(attribute, own) if own else "define one: def make() -> bench.Workload"
        raise UsageError(f"--workload {spec}: {place} has no function {attribute!r}; {hint}")
    return found  # type: ignore[no-any-return]  # callable() tells mypy nothing of what it returns


def _takes_data(make: Callable[..., object]) -> bool:
    required = [
        parameter
        for parameter in inspect.signature(make).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return len(required) == 1


def told(spec: str, what: str, error: BaseException) -> str:
    """What went wrong in a user's own code, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    said = "".join(traceback.format_exception_only(error)).strip()
    return f"--workload {spec}: it {what} {said}{where}; it must run on its own first"


def _module_at(path: Path) -> ModuleType:
    """A file imported as a plain script's neighbour would import it: by its stem.

    So its own imports find the files beside it, and what it defines can be pickled for loader
    workers.
    """
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"--workload {path}: there is no such file; give the path of a .py file")
    known = sys.modules.get(path.stem)
    if known is not None and Path(getattr(known, "__file__", None) or "").resolve() == path:
        return known
    if known is not None or path.stem in sys.stdlib_module_names:
        raise UsageError(
            f"--workload {path}: a module called {path.stem!r} is loaded already; rename the file"
        )
    sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


def _module_named(name: str, spec: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise UsageError(
            f"--workload {spec}: there is no module {name!r} here; is its package installed, "
            f"or its folder beneath the current directory?"
        ) from None


def _shipped(name: str, place: Path) -> Callable[..., object]:
    own = {path.stem for path in place.glob("*.py") if not path.stem.startswith("_")}
    if name in own - {CLASSIFIERS}:
        return _shipped_module(name, place).make  # type: ignore[no-any-return]  # a module's attribute
    classifiers = _shipped_module(CLASSIFIERS, place)
    names = classifiers.names()
    if name in names:
        return lambda choice: classifiers.make(choice, name)
    hint = near(name, [*own - {CLASSIFIERS}, *names])
    raise UsageError(
        f"--workload {name}: there is no such workload; {hint}; "
        f"your own are written path/to/file.py:make or package.module:make"
    )


CLASSIFIERS = "torchvision_classifier"
"""The shipped module that stands for all of torchvision's classifiers."""


def _shipped_module(name: str, place: Path) -> ModuleType:
    alias = f"stepbench_models.{name}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, place / f"{name}.py")
        if spec is None or spec.loader is None:  # pragma: no cover
            raise ImportError(name)
        sys.modules[alias] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[alias])
    return sys.modules[alias]
