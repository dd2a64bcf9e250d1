"""Finds the shipped workloads, each in a file, by path and never by the module name `models`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from stepbench.errors import UsageError, near

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "shipped_models"
SHIPPED = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1] / "models"
"""The directory of the shipped workloads: in the installed package, or `models/` of the repository.
The workloads are imported by path, never by the name `models`, because the repository that is
measured may have a package of that name."""


def shipped(name: str, place: Path) -> Callable[..., object]:
    """Returns the function that makes a shipped workload.

    Args:
        name: The stem of a file in the directory, or the name of a torchvision classifier.
        place: The directory of the shipped workloads.

    Raises:
        UsageError: There is no such workload.
    """
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
"""The shipped module that makes any of torchvision's classifiers."""


def _shipped_module(name: str, place: Path) -> ModuleType:
    alias = f"stepbench_models.{name}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, place / f"{name}.py")
        if spec is None or spec.loader is None:  # pragma: no cover
            raise ImportError(name)
        sys.modules[alias] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[alias])
    return sys.modules[alias]
