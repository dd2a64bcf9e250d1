"""Reads matrices from `[tool.stepbench.matrix.NAME]` in a repository's `pyproject.toml`."""

import tomllib
from pathlib import Path
from typing import Any

from stepbench.config.axes import AXES, AXIS
from stepbench.config.matrix import Matrix, default_matrix
from stepbench.errors import UsageError, suggestion
from stepbench_reports.schema.run import Value


def named_matrix(name: str, directory: Path) -> Matrix:
    """Reads a matrix from the directory's `pyproject.toml`.

    Raises:
        UsageError: There is no such matrix, or a value in it cannot be used.
    """
    file = directory / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise UsageError(
            f"--matrix {name}: there is no pyproject.toml in {directory}; "
            f"run in its directory, or give the axes as options"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--matrix {name}: {file} is not valid TOML: {error}") from None
    matrices = content.get("tool", {}).get("stepbench", {}).get("matrix", {})
    if name not in matrices:
        hint = suggestion(name, matrices) if matrices else "add [tool.stepbench.matrix.NAME]"
        raise UsageError(f"--matrix {name}: {file} has no such matrix; {hint}")
    table = dict(matrices[name])
    include = tuple(_partial_case(name, entry) for entry in table.pop("include", ()))
    exclude = tuple(_partial_case(name, entry) for entry in table.pop("exclude", ()))
    axes = {
        **default_matrix().axes,
        **{_axis(name, key): _values(name, key, values) for key, values in table.items()},
    }
    return Matrix(axes, include, exclude)


def _axis(matrix: str, key: str) -> str:
    axis = key.replace("-", "_")
    if axis not in AXIS:
        keys = [*(axis.flag[2:] for axis in AXES), "include", "exclude"]
        raise UsageError(f"--matrix {matrix}: there is no axis {key!r}; {suggestion(key, keys)}")
    return axis


def _values(matrix: str, key: str, values: object) -> tuple[Any, ...]:
    words = values if isinstance(values, list) else [values]
    if not words:
        raise UsageError(f"--matrix {matrix}: {key} has no values; give at least one")
    try:
        return AXIS[_axis(matrix, key)].read(words)
    except UsageError as error:
        raise UsageError(f"--matrix {matrix}: {error}") from None


def _partial_case(matrix: str, table: object) -> dict[str, Value]:
    if not isinstance(table, dict) or not table:
        raise UsageError(
            f"--matrix {matrix}: include and exclude are lists of tables, such as "
            f"[{{ device = 'cpu', compile = 'max-autotune' }}]; got {table!r}"
        )
    return {_axis(matrix, key): _values(matrix, key, value)[0] for key, value in table.items()}
