"""Finds the model of a script: its class, and how the script makes it."""

import ast
from dataclasses import dataclass, replace

from stepbench.errors import UsageError, suggestion
from stepbench.init.inlining import GAP, Expression, Inliner
from stepbench.init.script import PlacedCall, Scope, Script, loaded_names

MOVING = {"to", "cuda", "cpu", "train", "float", "half", "bfloat16"}
"""Methods of a model that return the model."""
WRAPPERS = {"torch.compile", "torch.nn.DataParallel", "torch.nn.parallel.DistributedDataParallel"}
"""Functions that return a model like their first argument."""


@dataclass(frozen=True)
class FoundModel:
    """The model of a script.

    Attributes:
        class_name: The class, as the script names it; `None` if a function makes the model.
        expression: Makes the model.
        variable: The script's variable that holds the model; `None` if it has none.
        is_lightning: True if the class is a `LightningModule`.
    """

    class_name: str | None
    expression: Expression
    variable: str | None = None
    is_lightning: bool = False


def find_model(script: Script, class_name: str | None) -> FoundModel:
    """Finds the model of a script, or how the script makes the model of a class.

    Args:
        script: The script.
        class_name: The class; `None` for the model that the script trains, or else its only one.

    Raises:
        UsageError: There is no model, or several are trained, or are defined and none is trained.
    """
    models = model_classes(script)
    if class_name is not None:
        defined = [*models, *(set(script.imports) - set(models))]
        if class_name not in {*defined, *script.definitions}:
            raise UsageError(
                f"{script.path}:{class_name}: there is no such class; "
                f"{suggestion(class_name, models or ['a file that defines one'])}"
            )
        return _made(script, class_name, models)
    trained = _trained_model(script, models)
    if trained is not None:
        return trained
    parts = {
        name
        for owner in models
        for name in loaded_names(script.classes[owner]) & set(models) - {owner}
    }
    whole = [name for name in models if name not in parts] or models
    if not whole:
        raise UsageError(
            f"{script.path}: defines no model, a class that derives from torch.nn.Module, and "
            f"trains none; give the file that defines it, or package.module:Class"
        )
    if len(whole) > 1:
        raise UsageError(
            f"{script.path}: defines several models: {', '.join(whole)}; choose one, such as "
            f"stepbench init {script.path}:{whole[0]}"
        )
    return _made(script, whole[0], models)


def model_classes(script: Script) -> list[str]:
    """The classes of a script that derive from `torch.nn.Module`, also through each other."""
    return [name for name in script.classes if _is_model(script, name, frozenset())]


def _is_model(script: Script, name: str, seen: frozenset[str]) -> bool:
    if name not in script.classes or name in seen:
        return False
    for base in script.classes[name].bases:
        full = script.qualified(base)
        if full.startswith("torch.nn.") or full.endswith(".LightningModule"):
            return True
        if _is_model(script, full, seen | {name}):
            return True
    return False


def is_lightning(script: Script, name: str) -> bool:
    """True if a class of the script derives from `LightningModule` directly."""
    bases = script.classes[name].bases if name in script.classes else []
    return any(script.qualified(base).endswith(".LightningModule") for base in bases)


def bare_model(script: Script, node: ast.expr) -> ast.expr:
    """An expression for a model without `.to(device)`, `torch.compile` and the like around it."""
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in MOVING:
            return bare_model(script, function.value)
        if script.qualified(function) in WRAPPERS and node.args:
            return bare_model(script, node.args[0])
    return node


def _trained_model(script: Script, models: list[str]) -> FoundModel | None:
    """The model whose parameters an optimizer of the script gets; `None` if there is none.

    Raises:
        UsageError: Optimizers get several models.
    """
    trained: dict[str, FoundModel] = {}
    for placed in script.calls:
        variable = trained_variable(placed.call)
        values = script.values(variable, placed.scope) if variable else []
        made = bare_model(script, values[0]) if values else None
        if variable is not None and isinstance(made, ast.Call):
            trained[variable] = _from_call(script, made, placed.scope, models, variable)
    if len(trained) > 1:
        names = [model.class_name or variable for variable, model in trained.items()]
        raise UsageError(
            f"{script.path}: trains several models: {', '.join(names)}; choose one, such as "
            f"stepbench init {script.path}:{names[0]}, or write a training step of your own "
            f"(Workload(step=...), in the guide to workloads)"
        )
    return next(iter(trained.values()), None)


def trained_variable(call: ast.Call) -> str | None:
    """The variable whose parameters an optimizer's constructor gets; `None` if it is none.

    It is `model` in `SGD(model.parameters(), ...)` and in `model.configure_optimizers(...)`.
    """
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr == "configure_optimizers":
        return function.value.id if isinstance(function.value, ast.Name) else None
    for argument in call.args[:1]:
        for node in ast.walk(argument):
            if isinstance(node, ast.Attribute) and node.attr in {"parameters", "named_parameters"}:
                variable = _root(node)
                clips = isinstance(function, ast.Attribute) and function.attr.startswith("clip_")
                return None if clips or variable == "self" else variable
    return None


def _root(node: ast.expr) -> str | None:
    """The variable at the start of a chain of attributes, such as `net` of `net.head.weight`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _made(script: Script, name: str, models: list[str]) -> FoundModel:
    """Finds where the script makes the model of a class, or else uses the class's signature."""
    for placed in script.calls:
        if isinstance(placed.call.func, ast.Name) and placed.call.func.id == name:
            variable = _variable_of(placed)
            return _from_call(script, placed.call, placed.scope, models, variable)
    return FoundModel(name, construct(script, name), None, is_lightning(script, name))


def _from_call(
    script: Script, call: ast.Call, scope: Scope, models: list[str], variable: str | None
) -> FoundModel:
    name = call.func.id if isinstance(call.func, ast.Name) else None
    expression = Inliner(script).inline(call, scope)
    known = name if name in models or name in script.imports else None
    return FoundModel(known, expression, variable, name is not None and is_lightning(script, name))


def _variable_of(placed: PlacedCall) -> str | None:
    for name, values in placed.scope.assignments.items():
        if any(placed.call is node for value in values for node in ast.walk(value)):
            return name
    return None


def construct(script: Script, name: str) -> Expression:
    """Makes an object of a class that the script never makes, with a gap for each argument."""
    gaps: list[str] = []
    for node in script.classes[name].body if name in script.classes else []:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = [*node.args.posonlyargs, *node.args.args][1:]
            required = arguments[: len(arguments) - len(node.args.defaults)]
            gaps = [argument.arg for argument in required]
            gaps += [
                argument.arg
                for argument, default in zip(
                    node.args.kwonlyargs, node.args.kw_defaults, strict=True
                )
                if default is None
            ]
    code = f"{name}({', '.join(f'{gap}={GAP}' for gap in gaps)})"
    return replace(Expression(code), names=frozenset({name}), gaps=tuple(gaps))
