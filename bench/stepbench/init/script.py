"""A parsed Python script: its imports, definitions and assignments. The script never runs."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from stepbench.config.values import shown
from stepbench.errors import UsageError

Function = ast.FunctionDef | ast.AsyncFunctionDef
RUNS_AT_IMPORT = {"parse_args", "backward", "fit"}
"""Methods whose call at the top of a script means that an import would train, or read options."""


@dataclass(frozen=True)
class Scope:
    """The module, or one of its functions.

    Attributes:
        assignments: The values assigned to each name, in order.
        parameters: The names of the function's parameters.
    """

    assignments: dict[str, list[ast.expr]] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PlacedCall:
    """A call, and the scope that it stands in."""

    call: ast.Call
    scope: Scope


@dataclass(frozen=True)
class Script:
    """A parsed script.

    Attributes:
        path: The script's file.
        source: The text of the file.
        tree: The parsed text.
    """

    path: Path
    source: str
    tree: ast.Module

    @cached_property
    def imports(self) -> dict[str, str]:
        """The full name that each imported name stands for, such as `torch.nn` for `nn`."""
        names = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    names[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{module}.{alias.name}"
        return names

    @cached_property
    def import_lines(self) -> dict[str, str]:
        """The statement that imports each name, alone."""
        lines: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    name = alias.asname or alias.name
                    if isinstance(node, ast.Import):
                        name = alias.asname or alias.name.partition(".")[0]
                        line = ast.unparse(ast.Import([alias]))
                    else:
                        line = ast.unparse(ast.ImportFrom(node.module, [alias], node.level))
                    # `import torch` and `import torch.nn` both bind `torch`.
                    lines[name] = f"{lines[name]}\n{line}" if name in lines else line
        return lines

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """The statement at the top of the script that defines each name, the last if several."""
        statements: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                statements[node.name] = node
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                statements |= {name.id: node for name in _names(node) if _is_stored(name)}
        return statements

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """The classes at the top of the script, by name."""
        return {n: node for n, node in self.definitions.items() if isinstance(node, ast.ClassDef)}

    @cached_property
    def module_scope(self) -> Scope:
        """The scope of the module."""
        return _scope_of(self.tree)

    @cached_property
    def scopes(self) -> list[Scope]:
        """The scopes of the module and of each function, in order."""
        return [self.module_scope, *(_scope_of(node) for node in self._functions)]

    @cached_property
    def calls(self) -> list[PlacedCall]:
        """All calls in the script, function by function."""
        nodes: list[ast.Module | Function] = [self.tree, *self._functions]
        return [
            PlacedCall(node, scope)
            for owner, scope in zip(nodes, self.scopes, strict=True)
            for node in own_nodes(owner)
            if isinstance(node, ast.Call)
        ]

    @cached_property
    def _functions(self) -> list[Function]:
        functions = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in ast.walk(self.tree) if isinstance(node, functions)]

    def qualified(self, node: ast.expr) -> str:
        """The full name of a name or an attribute, such as `torch.optim.SGD`; else empty."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.qualified(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        return ""

    def values(self, name: str, scope: Scope) -> list[ast.expr]:
        """The values assigned to a name, as a scope sees it.

        A parameter has the values of the only other scope that assigns its name: a script's `main`
        passes `model` on to `train` under the same name.
        """
        if name not in scope.parameters:
            for candidate in (scope, self.module_scope):
                if name in candidate.assignments:
                    return candidate.assignments[name]
        others = [s.assignments[name] for s in self.scopes if name in s.assignments]
        return others[0] if len(others) == 1 else []

    @cached_property
    def runs_at_import(self) -> int | None:
        """The line from which an import would train or read options; `None` if it would not."""
        for node in self.tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if isinstance(node, ast.If) and "__name__" in {n.id for n in _names(node.test)}:
                continue
            for inner in ast.walk(node):
                if isinstance(inner, (ast.For, ast.While)) or self._works(node, inner):
                    return node.lineno
        return None

    def _works(self, statement: ast.stmt, node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Attribute) and node.func.attr in RUNS_AT_IMPORT:
            return True
        calls_own = isinstance(node.func, ast.Name) and node.func.id in self.definitions
        return calls_own and isinstance(statement, ast.Expr)

    def text_of(self, statement: ast.stmt) -> str:
        """The source of a statement, with its decorators."""
        decorators = getattr(statement, "decorator_list", [])
        first = min(node.lineno for node in (statement, *decorators))
        return "\n".join(self.source.splitlines()[first - 1 : statement.end_lineno])


def parse(path: Path) -> Script:
    """Reads and parses a script.

    Raises:
        UsageError: The file cannot be read, or is no Python.
    """
    name = shown(str(path))
    try:
        source = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the script's own strings
            tree = ast.parse(source)
        text = source.decode()
    except OSError as error:
        raise UsageError(
            f"{name}: cannot be read ({error.strerror}); give a Python file that exists"
        ) from None
    except SyntaxError as error:
        raise UsageError(
            f"{name}: line {error.lineno} is no Python ({error.msg}); correct it and try again"
        ) from None
    except ValueError as error:  # null bytes, other encodings
        raise UsageError(f"{name}: is no Python ({error}); give a Python file") from None
    return Script(path, text, tree)


def own_nodes(owner: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a module or a function, without those of functions inside it."""
    for node in ast.iter_child_nodes(owner):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
            yield from own_nodes(node)


def loaded_names(node: ast.AST) -> set[str]:
    """The names that a piece of code reads."""
    return {name.id for name in _names(node) if not _is_stored(name)}


def _scope_of(owner: ast.Module | Function) -> Scope:
    assignments: dict[str, list[ast.expr]] = {}
    for node in own_nodes(owner):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, (ast.Assign, ast.AnnAssign)):
                assert node.value is not None  # noqa: S101  # checked above, for mypy
                assignments.setdefault(target.id, []).append(node.value)
    if isinstance(owner, ast.Module):
        return Scope(assignments)
    arguments = owner.args
    parameters = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return Scope(assignments, frozenset(parameter.arg for parameter in parameters))


def _names(node: ast.AST) -> list[ast.Name]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)
