"""Runs a script as Python itself would: `__main__`, `sys.argv`, `sys.path[0]`, its exit code.

The script's module takes the place of `__main__` and stays there, for what is pickled, spawned, or
called at the end of the process.
"""

import importlib.util
import sys
import traceback
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from stepbench.errors import UsageError
from stepbench.scripts.requests import ScriptCommand


@dataclass(frozen=True)
class ScriptExit:
    """The end of a script.

    Attributes:
        code: Its exit code.
        words: How it ended, in words.
        error: The exception that it raised, if it is no `SystemExit`.
    """

    code: int
    words: str
    error: BaseException | None = None


def run_script(script: ScriptCommand) -> ScriptExit:
    """Runs a script to its end in this process, whose `__main__` it becomes.

    A traceback is printed as Python prints it, without the frames of this package.

    Raises:
        UsageError: There is no such file or module, or it is no Python.
    """
    module, code = _module(script)
    sys.modules["__main__"] = module
    sys.argv[:] = [str(module.__file__) if script.is_module else script.target, *script.arguments]
    try:
        exec(code, module.__dict__)  # noqa: S102  # the user's own script
    except SystemExit as stopped:
        return _exited(stopped)
    except UsageError:  # of a setting that cannot be put in force
        raise
    except BaseException as error:  # noqa: BLE001  # whatever the script raises
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code is not code:
            frames = frames.tb_next
        error = error.with_traceback(frames)
        sys.excepthook(type(error), error, frames)
        words = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
        return ScriptExit(1, f"raised {words}", error)
    return ScriptExit(0, "ran to its end")


def _exited(stopped: SystemExit) -> ScriptExit:
    """The exit of a script that called `sys.exit`; a text is printed, as Python does."""
    if stopped.code is None:
        return ScriptExit(0, "called sys.exit()")
    if isinstance(stopped.code, int):
        return ScriptExit(stopped.code & 0xFF, f"called sys.exit({stopped.code})")
    print(stopped.code, file=sys.stderr)
    return ScriptExit(1, "called sys.exit with a message")


def _module(script: ScriptCommand) -> tuple[ModuleType, CodeType]:
    """The module `__main__` of a script, and its code."""
    module = ModuleType("__main__")
    module.__dict__["__builtins__"] = __builtins__
    if not script.is_module:
        path = Path(script.target).absolute()
        sys.path.insert(0, str(path.resolve().parent))
        module.__file__ = str(path)
        module.__dict__["__cached__"] = None
        module.__loader__ = SourceFileLoader("__main__", str(path))
        return module, _compiled(path, script.target)
    sys.path.insert(0, str(Path.cwd()))
    spec = _spec(script.target)
    loader: Any = spec.loader
    code: CodeType | None = loader.get_code(spec.name)
    if code is None:
        raise UsageError(f"-m {script.target}: has no Python code; name a module to run")
    module.__spec__ = spec
    module.__loader__ = loader
    module.__package__ = spec.parent
    module.__file__ = spec.origin
    return module, code


def _spec(name: str) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except ImportError as error:
        raise UsageError(f"-m {name}: cannot be imported ({error})") from None
    if spec is None or spec.loader is None:
        raise UsageError(f"-m {name}: there is no such module, or it has no __main__")
    return spec


def _compiled(path: Path, shown: str) -> CodeType:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read ({error.strerror})") from None
    try:
        return compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{shown}: is no Python that {sys.executable} can run ({error})") from None
