"""Expressions of a script that hold where its variables do not exist: values are put in."""

import ast
import builtins
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from stepbench.init.script import Scope, Script

GAP = "..."
"""The code in place of a value that is not known."""
MAX_DEPTH = 6
"""The most variables that are put into each other."""
_MAY_HOLD_GAPS = (ast.Call, ast.keyword, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Starred)


@dataclass(frozen=True)
class Expression:
    """Code that holds anywhere, given the names that it reads.

    Attributes:
        code: The code, with `GAP` for each value that is not known.
        names: The imports, classes and functions of the script that the code reads.
        gaps: The source of each value that is not known.
    """

    code: str
    names: frozenset[str] = frozenset()
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inliner:
    """Puts values into expressions of a script: variables, and the defaults of options.

    Attributes:
        script: The script.
    """

    script: Script

    @cached_property
    def option_defaults(self) -> Mapping[str, ast.expr]:
        """The defaults of the script's command line (argparse), by destination."""
        defaults: dict[str, ast.expr] = {}
        for placed in self.script.calls:
            function = placed.call.func
            if not isinstance(function, ast.Attribute) or function.attr != "add_argument":
                continue
            words = [w.value for w in placed.call.args if isinstance(w, ast.Constant)]
            keywords = {keyword.arg: keyword.value for keyword in placed.call.keywords}
            long = [str(word) for word in words if str(word).startswith("--")]
            destination = (long or [str(word) for word in words] or [""])[0]
            given = keywords.get("dest")
            if isinstance(given, ast.Constant):
                destination = str(given.value)
            action = keywords.get("action")
            if isinstance(action, ast.Constant) and str(action.value).startswith("store_"):
                defaults[_attribute(destination)] = ast.Constant(action.value == "store_false")
            if "default" in keywords:
                defaults[_attribute(destination)] = keywords["default"]
        return defaults

    def parses_options(self, value: ast.expr) -> bool:
        """True for `parser.parse_args()`, and for the call of a function that calls it."""
        function = value.func if isinstance(value, ast.Call) else None
        if isinstance(function, ast.Attribute):
            return function.attr == "parse_args"
        body = self.script.definitions.get(getattr(function, "id", ""))
        return isinstance(body, ast.FunctionDef) and any(
            isinstance(node, ast.Attribute) and node.attr == "parse_args" for node in ast.walk(body)
        )

    def inline(
        self, node: ast.expr, scope: Scope, renamed: Mapping[str, str] | None = None
    ) -> Expression:
        """Puts values into an expression.

        Args:
            node: The expression.
            scope: The scope that it stands in.
            renamed: New names for variables that the workload gives, such as the model.
        """
        transformer = _Transformer(self, scope, renamed or {})
        result = transformer.visit(copy.deepcopy(node))
        return Expression(
            ast.unparse(result), frozenset(transformer.names), tuple(transformer.gaps)
        )


def _attribute(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


class _Transformer(ast.NodeTransformer):
    """Replaces variables by their values, and what is unknown by `GAP`."""

    def __init__(self, inliner: Inliner, scope: Scope, renamed: Mapping[str, str]) -> None:
        self.names: set[str] = set()
        self.gaps: list[str] = []
        self._inliner = inliner
        self._scope = scope
        self._renamed = renamed
        self._depth = 0
        self._bound: set[str] = set()

    def visit(self, node: ast.AST) -> ast.AST:
        self._bound |= {
            inner.id if isinstance(inner, ast.Name) else inner.arg
            for inner in ast.walk(node)
            if isinstance(inner, ast.arg)
            or (isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store))
        }
        original = ast.unparse(node) if isinstance(node, ast.expr) else ""
        before = len(self.gaps)
        result: ast.AST = super().visit(node)
        if not isinstance(result, ast.expr) or _is_gap(result):
            return result
        parts = [result.func] if isinstance(result, ast.Call) else []
        if not isinstance(result, _MAY_HOLD_GAPS):
            parts = [part for part in ast.iter_child_nodes(result) if isinstance(part, ast.expr)]
        if any(map(_is_gap, parts)):
            del self.gaps[before:]
            return self._gap(original)
        return result

    def visit_Name(self, node: ast.Name) -> ast.expr:
        name = node.id
        if name in self._renamed:
            return ast.Name(self._renamed[name], ast.Load())
        if name in self._bound:
            return node
        values = self._inliner.script.values(name, self._scope)
        if any(map(self._inliner.parses_options, values)):
            return self._gap(name)
        if len(values) == 1 and self._depth < MAX_DEPTH:
            self._depth += 1
            value = self.visit(copy.deepcopy(values[0]))
            self._depth -= 1
            return value if isinstance(value, ast.expr) else self._gap(name)
        script = self._inliner.script
        if not values and (name in script.imports or name in script.definitions):
            self.names.add(name)
            return node
        return node if not values and hasattr(builtins, name) else self._gap(name)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        defaults = self._inliner.option_defaults
        if isinstance(node.value, ast.Name) and node.attr in defaults:
            values = self._inliner.script.values(node.value.id, self._scope)
            if any(map(self._inliner.parses_options, values)):
                return copy.deepcopy(defaults[node.attr])
        return self.generic_visit(node)

    def _gap(self, source: str) -> ast.expr:
        self.gaps.append(source)
        return ast.Name(GAP, ast.Load())


def _is_gap(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == GAP
