"""Reads matrices from `[tool.stepbench.matrix.NAME]` in a repository's `pyproject.toml`."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from stepbench.config.axes import AXES, AXIS
from stepbench.config.matrix import Matrix, default_matrix
from stepbench.config.values import MAX_WHOLE_NUMBER, shown
from stepbench.errors import UsageError, suggestion
from stepbench_reports.schema.files import field_and_fault
from stepbench_reports.schema.run import Value

_FILE = "pyproject.toml"
_EXAMPLE = "stepbench run --help has an example"
_Number = Annotated[int, Meta(ge=-MAX_WHOLE_NUMBER, le=MAX_WHOLE_NUMBER)]
_Word = str | bool | _Number
"""A value of an axis as TOML holds it; the axis parses its text."""


class _Stepbench(Struct, frozen=True):
    matrix: dict[str, Any] = {}


class _Tool(Struct, frozen=True):
    stepbench: _Stepbench = _Stepbench()


class _Project(Struct, frozen=True):
    tool: _Tool = _Tool()


_TOML_TYPES = {
    "object": "a table",
    "array": "an array",
    "str": "a string",
    "int": "a whole number",
    "float": "a decimal number",
    "bool": "true or false",
    "bool | int | str": "a string, a whole number, true or false",
    "date": "a date",
    "time": "a time",
    "datetime": "a date with a time",
}
"""msgspec's names of types in the words of TOML."""


def named_matrix(name: str, directory: Path) -> Matrix:
    """Reads a matrix from the directory's `pyproject.toml`.

    Raises:
        UsageError: There is no such matrix, or the file or a value in it cannot be used.
    """
    file = directory / _FILE
    project: _Project = _convert(name, file, "", _content(name, file), _Project)
    matrices = project.tool.stepbench.matrix
    if name not in matrices:
        hint = suggestion(name, matrices) if matrices else "add [tool.stepbench.matrix.NAME]"
        raise UsageError(f"--matrix {shown(name)}: {file} has no such matrix; {hint}")
    key = f"tool.stepbench.matrix.{name}"
    table = _convert(name, file, key, matrices[name], dict[str, Any])
    include, exclude = (
        tuple(
            _partial_case(name, file, f"{key}.{part}[{number}]", entry)
            for number, entry in enumerate(
                _convert(name, file, f"{key}.{part}", table.pop(part, []), list[dict[str, Any]])
            )
        )
        for part in ("include", "exclude")
    )
    axes = {}
    for word, content in table.items():
        axis = _axis(name, word)
        expected = list[_Word] if isinstance(content, list) else _Word
        values = _convert(name, file, f"{key}.{word}", content, expected)
        axes[axis] = _values(name, word, values if isinstance(values, list) else [values])
    return Matrix({**default_matrix().axes, **axes}, include, exclude)


def _content(name: str, file: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UsageError: There is no such file, or it cannot be read.
    """
    try:
        return tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        raise UsageError(
            f"--matrix {shown(name)}: there is no {_FILE} in {file.parent}; "
            f"run in its directory, or give the axes as options"
        ) from None
    except OSError as error:
        fault = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8 text (byte {error.start})"
    except RecursionError:
        fault = "is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        fault = f"is not valid TOML ({error})"
    except ValueError:
        fault = "holds a number with thousands of digits"
    raise UsageError(
        f"--matrix {shown(name)}: {file} {fault}; correct the file, or give the axes as options"
    )


def _convert(name: str, file: Path, key: str, content: object, expected: Any) -> Any:  # noqa: ANN401  # a type, and a value of it
    """Converts the content of a key to a type.

    Raises:
        UsageError: The content is of another type.
    """
    try:
        return msgspec.convert(content, expected)
    except msgspec.ValidationError as error:
        field, fault = field_and_fault(error)
        place = ".".join(filter(None, (key, field))).replace(".[", "[")
        raise UsageError(
            f"--matrix {shown(name)}: {file}: {place}: {_in_toml_words(fault)}; {_EXAMPLE}"
        ) from None


def _in_toml_words(fault: str) -> str:
    """Replaces the names of types in a fault, such as `array`, by TOML's words for them."""
    return re.sub(
        r"`([^`]*)`",
        lambda name: _TOML_TYPES.get(name[1], name[1]),
        fault,
    )


def _axis(matrix: str, key: str) -> str:
    axis = key.replace("-", "_")
    if axis not in AXIS:
        keys = [*(axis.flag[2:] for axis in AXES), "include", "exclude"]
        raise UsageError(
            f"--matrix {matrix}: there is no axis {shown(key)!r}; {suggestion(key, keys)}"
        )
    return axis


def _values(matrix: str, key: str, words: list[_Word]) -> tuple[Any, ...]:
    if not words:
        raise UsageError(f"--matrix {matrix}: {key} has no values; give at least one")
    try:
        return AXIS[_axis(matrix, key)].read(words)
    except UsageError as error:
        raise UsageError(f"--matrix {matrix}: {error}") from None


def _partial_case(
    matrix: str, file: Path, key: str, entry: Mapping[str, object]
) -> dict[str, Value]:
    if not entry:
        raise UsageError(f"--matrix {matrix}: {file}: {key}: is empty; name an axis in it")
    words = {
        word: _convert(matrix, file, f"{key}.{word}", content, _Word)
        for word, content in entry.items()
    }
    return {_axis(matrix, word): _values(matrix, word, [words[word]])[0] for word in words}
