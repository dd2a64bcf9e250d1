"""Finds the parts of a script's training: data, loss, optimizer, clipping."""

import ast
from dataclasses import dataclass

from stepbench.init.inlining import Expression, Inliner
from stepbench.init.model import FoundModel, bare_model, construct, trained_variable
from stepbench.init.script import PlacedCall, Scope, Script

LOADER = "torch.utils.data.DataLoader"
DATA_SETS = {"torch.utils.data.Dataset", "torch.utils.data.IterableDataset"}


@dataclass(frozen=True)
class FoundData:
    """The training data of a script.

    Attributes:
        dataset: Makes the data set; `None` if it is not known.
        batch_size: The batch size of the loader; `None` if it is not known.
        collate: The loader's `collate_fn`; `None` if there is none.
        needs_split: True if the script takes from its batches something else than a pair.
    """

    dataset: Expression | None = None
    batch_size: int | None = None
    collate: Expression | None = None
    needs_split: bool = False


SHAPE_METHODS = frozenset(
    {
        *("flatten", "view", "reshape", "squeeze", "unsqueeze", "transpose", "permute"),
        *("contiguous", "float", "double", "long", "mean", "sum"),
    }
)
"""The methods of tensors that a script calls on output or target before the loss takes them."""


@dataclass(frozen=True)
class FoundLoss:
    """The loss of a script.

    Attributes:
        loss: Takes output and target, returns the loss; `None` if it is not known.
        split: The workload's `split`; `None` if batches are pairs or it is not known.
    """

    loss: Expression | None = None
    split: Expression | None = None


def find_data(script: Script) -> FoundData:
    """Finds the training data: of the first loader that shuffles, or else the first loader."""
    loaders = [call for call in script.calls if script.qualified(call.call.func) == LOADER]
    loaders.sort(key=lambda placed: not _shuffles(placed, script))
    if not loaders:
        return FoundData(_only_data_set(script), needs_split=_needs_split(script))
    placed = loaders[0]
    inliner = Inliner(script)
    options = _keywords(placed, script)
    first = placed.call.args[0] if placed.call.args else options.get("dataset")
    dataset = None if first is None else inliner.inline(first, placed.scope)
    if dataset is not None and dataset.code == "...":
        dataset = _only_data_set(script)
    collate = options.get("collate_fn")
    size = options.get("batch_size")
    if size is None and len(placed.call.args) > 1:
        size = placed.call.args[1]
    return FoundData(
        dataset,
        None if size is None else _whole_number(inliner.inline(size, placed.scope)),
        None if collate is None else inliner.inline(collate, placed.scope),
        needs_split=_needs_split(script),
    )


def _keywords(placed: PlacedCall, script: Script) -> dict[str, ast.expr]:
    """The keyword arguments of a call, also those of a dictionary behind `**`."""
    keywords: dict[str, ast.expr] = {}
    for keyword in placed.call.keywords:
        if keyword.arg is not None:
            keywords[keyword.arg] = keyword.value
        elif isinstance(keyword.value, ast.Name):
            for value in script.values(keyword.value.id, placed.scope):
                if isinstance(value, ast.Dict):
                    keywords |= {
                        str(key.value): item
                        for key, item in zip(value.keys, value.values, strict=True)
                        if isinstance(key, ast.Constant)
                    }
    return keywords


def _shuffles(placed: PlacedCall, script: Script) -> bool:
    shuffle = _keywords(placed, script).get("shuffle")
    return isinstance(shuffle, ast.Constant) and shuffle.value is True


def _whole_number(expression: Expression) -> int | None:
    return int(expression.code) if expression.code.isdecimal() else None


def _only_data_set(script: Script) -> Expression | None:
    """Makes the only data set that the script defines; `None` if it defines none or several."""
    names = [
        name
        for name, node in script.classes.items()
        if any(script.qualified(base) in DATA_SETS for base in _plain_bases(node))
    ]
    if len(names) != 1:
        return None
    for placed in script.calls:
        if isinstance(placed.call.func, ast.Name) and placed.call.func.id == names[0]:
            return Inliner(script).inline(placed.call, placed.scope)
    return construct(script, names[0])


def _plain_bases(node: ast.ClassDef) -> list[ast.expr]:
    """The bases of a class, `Dataset` for `Dataset[int]`."""
    return [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]


def _needs_split(script: Script) -> bool:
    """True if a loop over batches takes them by name, or takes more than two parts."""
    for node in ast.walk(script.tree):
        if not isinstance(node, ast.For) or not _steps(node):
            continue
        target = node.target
        if isinstance(target, ast.Tuple) and _is_enumerate(node.iter):
            target = target.elts[-1]
        if isinstance(target, ast.Name) and any(
            isinstance(inner, ast.Subscript)
            and isinstance(inner.value, ast.Name)
            and inner.value.id == target.id
            and isinstance(inner.slice, ast.Constant)
            and isinstance(inner.slice.value, str)
            for inner in ast.walk(node)
        ):
            return True
        if isinstance(target, ast.Tuple) and len(target.elts) > 2:
            return True
    return False


def _is_enumerate(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"enumerate", "tqdm"}
    )


def _steps(node: ast.For) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(node))


def find_loss(script: Script) -> FoundLoss:
    """Finds the loss: what the script calls `backward` on, or else its only loss function."""
    for placed in script.calls:
        function = placed.call.func
        if isinstance(function, ast.Attribute) and function.attr == "backward":
            for node in ast.walk(placed.call):
                if isinstance(node, ast.Name):
                    values = list(script.values(node.id, placed.scope))
                    for value in values:
                        found = _loss_of(script, value, placed.scope)
                        if found is not None:
                            return found
                    if any(_changes_a_loss(script, value, placed.scope) for value in values):
                        return FoundLoss()
    inliner = Inliner(script)
    losses = {
        inliner.inline(placed.call, placed.scope)
        for placed in script.calls
        if _is_loss_module(script, placed.call)
    }
    return FoundLoss(losses.pop() if len(losses) == 1 else None)


def _is_loss_module(script: Script, node: ast.expr) -> bool:
    full = script.qualified(node.func) if isinstance(node, ast.Call) else ""
    return full.startswith("torch.nn.") and full.endswith("Loss")


def _loss_of(script: Script, value: ast.expr, scope: Scope) -> FoundLoss | None:
    """The loss that a script computes by an expression; `None` if it is not known."""
    if isinstance(value, ast.Attribute) and value.attr == "loss":
        split = Expression("lambda batch: (batch, None)")
        return FoundLoss(Expression("lambda output, _: output.loss"), split)
    if not isinstance(value, ast.Call):
        return None
    inliner = Inliner(script)
    if script.qualified(value.func).startswith("torch.nn.functional."):
        return FoundLoss(_of_output_and_target(inliner, value, value.func, scope))
    function = _loss_function(script, value, scope)
    return (
        None
        if function is None
        else FoundLoss(_of_output_and_target(inliner, value, function, scope))
    )


def _loss_function(script: Script, call: ast.Call, scope: Scope) -> ast.expr | None:
    """The loss module or the script's own function that a call calls; `None` if it is neither."""
    function = call.func
    if isinstance(function, ast.Name):
        function = bare_model(script, next(iter(script.values(function.id, scope)), function))
    defined = isinstance(function, ast.Name) and function.id in script.definitions
    is_loss = _is_loss_module(script, function) or (defined and len(call.args) == 2)
    return function if is_loss else None


def _changes_a_loss(script: Script, value: ast.expr, scope: Scope) -> bool:
    """True if an expression computes with a loss, such as a weighted sum of two."""
    return any(
        isinstance(node, ast.Call)
        and (
            script.qualified(node.func).startswith("torch.nn.functional.")
            or _is_loss_module(script, node.func)
            or (isinstance(node.func, ast.Name) and _named_loss(script, node, scope))
        )
        for node in ast.walk(value)
    )


def _named_loss(script: Script, call: ast.Call, scope: Scope) -> bool:
    function = _loss_function(script, call, scope)
    return function is not None and _is_loss_module(script, function)


def _of_output_and_target(
    inliner: Inliner, call: ast.Call, function: ast.expr, scope: Scope
) -> Expression:
    """Makes a function of output and target of a script's call of its loss.

    What the script does to their shapes before the call stays: `output.flatten(0, 1)`.

    Args:
        inliner: Replaces variables by their values.
        call: The call.
        function: The function that it calls: one of torch, or a loss module's expression.
        scope: The scope of the call.
    """
    names = ("output", "target")
    arguments = [_reshaped(a, name) for a, name in zip(call.args, names, strict=False)]
    plain = all(isinstance(argument, ast.Name) for argument in arguments)
    if plain and not call.keywords:
        return inliner.inline(function, scope)
    arguments += [ast.Name(name, ast.Load()) for name in names[len(arguments) :]]
    renamed = {name: name for name in names}
    body = inliner.inline(ast.Call(function, arguments, call.keywords), scope, renamed)
    return Expression(f"lambda output, target: {body.code}", body.names, body.gaps)


def _reshaped(argument: ast.expr, name: str) -> ast.expr:
    """An argument's methods of `SHAPE_METHODS`, called on a variable in place of its tensor."""
    match argument:
        case ast.Call(ast.Attribute(tensor, method), args, keywords) if method in SHAPE_METHODS:
            called = ast.Attribute(_reshaped(tensor, name), method, ast.Load())
            return ast.Call(called, args, keywords)
    return ast.Name(name, ast.Load())


def find_optimizer(script: Script, model: FoundModel) -> Expression | None:
    """Finds the optimizer of a model, as the workload's function; `None` if it is not known."""
    inliner = Inliner(script)
    for placed in script.calls:
        variable = trained_variable(placed.call)
        if variable is None or (model.variable is not None and variable != model.variable):
            continue
        first = ast.unparse(placed.call.args[0]) if placed.call.args else ""
        if first == f"{variable}.parameters()":
            arguments = [ast.Name("parameters", ast.Load()), *placed.call.args[1:]]
            call = ast.Call(placed.call.func, arguments, placed.call.keywords)
            made = inliner.inline(call, placed.scope, {"parameters": "parameters"})
            return Expression(f"lambda parameters: {made.code}", made.names, made.gaps)
        made = inliner.inline(placed.call, placed.scope, {variable: "model"})
        return Expression(f"lambda model: {made.code}", made.names, made.gaps)
    return None


def find_clip(script: Script) -> Expression | None:
    """Finds how the script clips gradients, as the workload's function; `None` if it does not."""
    for placed in script.calls:
        full = script.qualified(placed.call.func)
        if full.startswith("torch.nn.utils.clip_grad_") and placed.call.args:
            arguments = [ast.Name("parameters", ast.Load()), *placed.call.args[1:]]
            call = ast.Call(placed.call.func, arguments, placed.call.keywords)
            made = Inliner(script).inline(call, placed.scope, {"parameters": "parameters"})
            return Expression(f"lambda parameters: {made.code}", made.names, made.gaps)
    return None
