"""Finds the shipped workloads, each in a file, by path and never by the module name `models`."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from stepbench.errors import UsageError, suggestion

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED = _PACKAGE / "shipped_models"
SHIPPED = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1] / "models"
"""The directory of the shipped workloads: in the installed package, or `models/` of the repository.
The workloads are imported by path, never by the name `models`, because the repository that is
measured may have a package of that name."""


def shipped(name: str, directory: Path) -> Callable[..., object]:
    """Returns the function that makes a shipped workload.

    Args:
        name: The stem of a file in the directory, or the name of a torchvision classifier.
        directory: The directory of the shipped workloads.

    Raises:
        UsageError: There is no such workload.
    """
    shipped_names = {path.stem for path in directory.glob("*.py") if not path.stem.startswith("_")}
    if name in shipped_names - {CLASSIFIERS}:
        return _shipped_module(name, directory).make  # type: ignore[no-any-return]  # a module's attribute
    classifiers = _shipped_module(CLASSIFIERS, directory)
    classifier_names = classifiers.names()
    if name in classifier_names:
        return lambda choice: classifiers.make(choice, name)
    hint = suggestion(name, [*shipped_names - {CLASSIFIERS}, *classifier_names])
    raise UsageError(
        f"--workload {name}: there is no such workload; {hint}; "
        f"for your own, give path/to/file.py:make or package.module:make"
    )


CLASSIFIERS = "torchvision_classifier"
"""The shipped module that makes any of torchvision's classifiers."""


def _shipped_module(name: str, directory: Path) -> ModuleType:
    alias = f"stepbench_models.{name}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, directory / f"{name}.py")
        if spec is None or spec.loader is None:  # pragma: no cover
            raise ImportError(name)
        sys.modules[alias] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[alias])
    return sys.modules[alias]
