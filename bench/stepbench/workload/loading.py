"""Loads a workload by its name, file path or module path."""

import importlib
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from stepbench.config.requests import Request
from stepbench.errors import UsageError, suggestion
from stepbench.workload import shipped
from stepbench.workload.data_choice import DataChoice
from stepbench.workload.workload import Workload

_PACKAGE = Path(__file__).resolve().parents[1]
_STANDARD, _INSTALLED = (
    tuple(Path(sysconfig.get_path(name)) for name in names)
    for names in (("stdlib", "platstdlib"), ("purelib", "platlib"))
)
"""The folders of the standard library, and of installed packages, which may lie in the first."""


def load_requested(request: Request) -> Workload:
    """Loads the workload of a request's case, with the data that the request names.

    Raises:
        UsageError: There is no such workload, or its `make` fails or returns no `Workload`.
    """
    case = request.case
    choice = DataChoice(case.dataset, request.data_dir, request.download)
    return load(case.workload, choice, request.shipped or shipped.SHIPPED)


def load(spec: str, choice: DataChoice, directory: Path = shipped.SHIPPED) -> Workload:
    """Loads a workload by its name, file path or module path.

    Args:
        spec: A shipped name (`convnet`, `resnet18`), `path/to/file.py:make` or
            `package.module:make`.
        choice: The data for shipped workloads, and for any `make` with one required argument.
        directory: The directory of the shipped workloads.

    Raises:
        UsageError: There is no such workload, or its `make` fails or returns no `Workload`.
    """
    make = _find(spec, directory)
    try:
        workload = make(choice) if _takes_data(make) else make()
    except UsageError:
        raise
    except BaseException as error:  # a script may end with SystemExit where it should return
        raise UsageError(failure_message(spec, "raised", error)) from error
    if not isinstance(workload, Workload):
        raise UsageError(
            f"--workload {spec}: returned {type(workload).__name__}; return a stepbench.Workload"
        )
    return workload


def _find(spec: str, directory: Path) -> Callable[..., object]:
    location, colon, attribute = spec.rpartition(":")
    if not colon:
        return shipped.shipped(spec, directory)
    try:
        module = (
            _module_at(Path(location))
            if location.endswith(".py")
            else _module_named(location, spec)
        )
    except UsageError:
        raise
    except BaseException as error:
        raise UsageError(failure_message(spec, "could not be imported:", error)) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        functions = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        hint = (
            suggestion(attribute, functions)
            if functions
            else "define one: def make() -> stepbench.Workload"
        )
        raise UsageError(f"--workload {spec}: {location} has no function {attribute!r}; {hint}")
    return function  # type: ignore[no-any-return]  # mypy does not infer a return type from callable()


def _takes_data(make: Callable[..., object]) -> bool:
    required = [
        parameter
        for parameter in inspect.signature(make).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return len(required) == 1


def failure_message(spec: str, problem: str, error: BaseException) -> str:
    """Returns an error message for an exception in a user's code, with the user's file and line."""
    frame = _users_frame(error)
    location = "" if frame is None else f" (line {frame.lineno} of {frame.filename})"
    message = "".join(traceback.format_exception_only(error)).strip()
    return f"--workload {spec}: {problem} {message}{location}; correct it and run again"


def _users_frame(error: BaseException) -> traceback.FrameSummary | None:
    """The innermost frame in a user's file, or else in an installed package, if there is one."""
    frames = [
        frame
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if Path(frame.filename).is_absolute() and not _lies_in(frame, (_PACKAGE,))
    ]
    users = [frame for frame in frames if not _lies_in(frame, (*_STANDARD, *_INSTALLED))]
    installed = [frame for frame in frames if _lies_in(frame, _INSTALLED)]
    return next(iter((*users, *installed)), None)


def _lies_in(frame: traceback.FrameSummary, folders: Iterable[Path]) -> bool:
    return any(Path(frame.filename).is_relative_to(folder) for folder in folders)


def _module_at(path: Path) -> ModuleType:
    """Imports `path` as the module `path.stem`, with the file's directory on the search path.

    The file can then import other files of its directory, and loader workers can unpickle the
    objects that the file defines.
    """
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"--workload {path}: there is no such file; give the path of a .py file")
    loaded = sys.modules.get(path.stem)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve() == path:
        return loaded
    if loaded is not None or path.stem in sys.stdlib_module_names:
        raise UsageError(
            f"--workload {path}: another module has the name {path.stem!r}; rename the file"
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
            f"--workload {spec}: there is no module {name!r}; install its package, or "
            f"run in the directory that contains it"
        ) from None
