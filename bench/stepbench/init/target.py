"""The target of `stepbench init`: a script, or the class of a module."""

import keyword
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stepbench.config.values import shown
from stepbench.errors import UsageError
from stepbench.init import writing
from stepbench.init.script import parse
from stepbench.init.writing import Draft


@dataclass(frozen=True)
class Target:
    """The target that a workload file is written for.

    Attributes:
        output: The file to write.
        script: The file to read; `None` if there is none.
        module: The name by which the workload file imports the script, or the model's module.
        class_name: The model's class; `None` if none is named.
    """

    output: Path
    script: Path | None = None
    module: str = ""
    class_name: str | None = None

    @property
    def spec(self) -> str:
        """The workload, as `--workload` names it."""
        return f"{self.output}:make"

    def draft(self) -> Draft:
        """Drafts the workload.

        Raises:
            UsageError: The script is no Python, or has no model, or several.
        """
        if self.script is not None:
            try:
                return writing.draft_of_script(parse(self.script), self.class_name, self.module)
            except RecursionError:
                raise UsageError(
                    f"{self.script}: is nested too deeply to be read; name the model as "
                    f"package.module:Class"
                ) from None
        if self.class_name is not None:
            return writing.draft_of_name(self.module, self.class_name)
        return writing.draft_of_nothing()


def read_target(word: str | None, output: str | None) -> Target:
    """Reads the argument of `stepbench init`.

    Args:
        word: `script.py`, `script.py:Class` or `package.module:Class`; `None` for none.
        output: The file to write; `None` for the default.

    Raises:
        UsageError: The argument names no file and no class, or the output cannot import it.
    """
    if output is not None and not output.endswith(".py"):
        raise UsageError(
            f"--output {shown(output)!r}: give the name of a Python file, such as bench.py"
        )
    if word is None:
        return Target(Path(output or "my_bench.py"))
    location, colon, class_name = word.rpartition(":")
    if not colon:
        location, class_name = word, ""
    if colon and not class_name.isidentifier():
        raise UsageError(f"{shown(word)!r}: give a class after the colon, such as train.py:Net")
    if location.endswith(".py"):
        script = Path(location)
        target = Path(output) if output else script.with_name(f"bench_{script.name}")
        return Target(target, script, _module_of(script, target), class_name or None)
    if not colon or not _is_module_name(location):
        raise UsageError(
            f"{shown(word)!r}: give a script, such as train.py, or a model, such as "
            f"package.module:Net"
        )
    name = f"bench_{location.rpartition('.')[2]}.py"
    target = Path(output or name)
    path = Path(*location.split("."))
    with suppress(OSError):  # a name that the system cannot look up
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return Target(target, file, location, class_name)
    return Target(target, None, location, class_name)


def _module_of(script: Path, output: Path) -> str:
    """The name by which `output` imports a script: its own folder is on the search path.

    Raises:
        UsageError: No name does.
    """
    folder = output.absolute().parent
    if not script.absolute().is_relative_to(folder):
        raise UsageError(
            f"--output {output}: a file there cannot import "
            f"{script}; give a file in {script.parent} or above it"
        )
    name = ".".join(script.absolute().relative_to(folder).with_suffix("").parts)
    if not _is_module_name(name):
        raise UsageError(
            f"{script}: cannot be imported, as {name!r} is no name of a module; rename the file"
        )
    return name


def _is_module_name(name: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))
