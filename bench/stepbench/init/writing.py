"""Writes the text of a workload file from what was found in a script."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from stepbench.init.inlining import GAP, Expression
from stepbench.init.model import FoundModel, find_model
from stepbench.init.script import Script, loaded_names
from stepbench.init.training import find_clip, find_data, find_loss, find_optimizer

MARK = "FILL IN"
"""The mark of a line that the user completes."""
UNKNOWN = Expression(GAP, gaps=("",))
BELONGS_HERE = {
    "model": "a function that returns a new model, such as lambda: MyNet()",
    "dataset": 'a function that returns the training data, such as lambda: MyDataset("data"); '
    "or batches= for a function such as get_batch",
    "loss": "a function of output and target, such as torch.nn.CrossEntropyLoss()",
    "optimizer": "a function such as lambda parameters: torch.optim.SGD(parameters, lr=0.01)",
    "split": 'what the model and the loss get, such as lambda batch: (batch["x"], batch["y"])',
    "collate": "a function that makes a batch of a list of items",
    "clip": "a function that clips the gradients of a list of parameters",
}
"""The content of each field of a workload, for the lines to fill in."""
LIGHTNING = '''

class TrainingStep(torch.nn.Module):
    """The module's training step, as the forward pass of a model: it returns the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.module = {model}

    def forward(self, batch):
        return self.module.training_step(batch, 0)
'''


@dataclass(frozen=True)
class Draft:
    """The findings that a workload file is written from.

    Attributes:
        source: The script or the model, in words, for the file's docstring.
        fields: The workload's fields, by name.
        batch_size: The script's batch size; `None` if it is not known.
        imports: The lines that import what the fields read.
        copied: The source of what is copied from the script.
        wrapper: A `LightningModule`'s expression, whose training step the model wraps.
    """

    source: str
    fields: dict[str, Expression]
    batch_size: int | None = None
    imports: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    wrapper: Expression | None = None


def draft_of_script(script: Script, class_name: str | None, module: str) -> Draft:
    """Drafts a workload from a script.

    What the script defines is imported from it, or copied if an import would train.

    Args:
        script: The script.
        class_name: The model's class; `None` for the model that the script trains.
        module: The name by which the workload file imports the script.

    Raises:
        UsageError: The script has no model, or several.
    """
    model = find_model(script, class_name)
    data = find_data(script)
    fields = _lightning_fields(script, model) if model.is_lightning else _fields(script, model)
    fields["dataset"] = UNKNOWN if data.dataset is None else _made_anew(data.dataset)
    if data.collate is not None:
        fields["collate"] = data.collate
    if data.needs_split and "split" not in fields:
        fields["split"] = UNKNOWN
    wrapper = model.expression if model.is_lightning else None
    names = set(chain.from_iterable(part.names for part in (*fields.values(), model.expression)))
    copied: list[ast.stmt] = []
    if script.runs_at_import is not None:
        copied = _definitions(script, names)
        names |= set(chain.from_iterable(map(loaded_names, copied)))
    return Draft(
        script.path.name if class_name is None else f"{class_name} of {script.path.name}",
        {name: fields[name] for name in BELONGS_HERE if name in fields},
        data.batch_size,
        tuple(_imports(script, names, module)),
        tuple(script.text_of(statement) for statement in copied),
        wrapper,
    )


def draft_of_name(module: str, class_name: str) -> Draft:
    """Drafts a workload of a model whose source is not at hand, in an installed package."""
    model = Expression(f"lambda: {class_name}()")
    fields = {"model": model, "dataset": UNKNOWN, "loss": UNKNOWN, "optimizer": UNKNOWN}
    return Draft(f"{class_name} of {module}", fields, None, (f"from {module} import {class_name}",))


def draft_of_nothing() -> Draft:
    """Drafts a workload in which all is left to fill in."""
    fields = dict.fromkeys(("model", "dataset", "loss", "optimizer"), UNKNOWN)
    return Draft("a model of yours", fields)


def _fields(script: Script, model: FoundModel) -> dict[str, Expression]:
    loss = find_loss(script)
    fields = {
        "model": _made_anew(model.expression),
        "loss": loss.loss or UNKNOWN,
        "optimizer": find_optimizer(script, model) or UNKNOWN,
    }
    if loss.split is not None:
        fields["split"] = loss.split
    clip = find_clip(script)
    return fields if clip is None else {**fields, "clip": clip}


def _made_anew(expression: Expression) -> Expression:
    return Expression(f"lambda: {expression.code}", expression.names, expression.gaps)


def _lightning_fields(script: Script, model: FoundModel) -> dict[str, Expression]:
    optimizer = Expression("lambda model: model.module.configure_optimizers()")
    for node in script.classes[model.class_name or ""].body:
        if isinstance(node, ast.FunctionDef) and node.name == "configure_optimizers":
            results = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return)]
            if any(isinstance(result, (ast.Dict, ast.Tuple, ast.List)) for result in results):
                optimizer = Expression(
                    f"lambda model: model.module.configure_optimizers()[{GAP}]",
                    gaps=("the optimizer among what configure_optimizers returns",),
                )
    return {
        "model": Expression("TrainingStep"),
        "split": Expression("lambda batch: ((batch,), None)"),
        "loss": Expression("lambda loss, _: loss"),
        "optimizer": optimizer,
    }


def _definitions(script: Script, names: Iterable[str]) -> list[ast.stmt]:
    """The statements of a script that define some names, and what these statements read."""
    wanted: list[ast.stmt] = []
    pending = [name for name in names if name in script.definitions]
    while pending:
        statement = script.definitions[pending.pop()]
        if statement not in wanted:
            wanted.append(statement)
            pending += [name for name in loaded_names(statement) if name in script.definitions]
    return sorted(wanted, key=lambda statement: statement.lineno)


def _imports(script: Script, names: set[str], module: str) -> list[str]:
    imported = sorted(name for name in names if name in script.imports)
    lines = [
        line
        for name in imported
        if not script.imports[name].startswith(".")
        for line in script.import_lines[name].splitlines()
    ]
    own = [name for name in imported if script.imports[name].startswith(".")]
    if script.runs_at_import is None:
        own += [name for name in names if name in script.definitions]
    if own:
        lines.append(f"from {module} import {', '.join(sorted(set(own)))}")
    return lines


def write(draft: Draft, spec: str) -> str:
    """Writes the text of a workload file.

    Args:
        draft: What was found.
        spec: The workload as `--workload` names it, for the file's docstring.
    """
    batch = "" if draft.batch_size is None else f" --batch-size {draft.batch_size}"
    imports = {*draft.imports, "import torch"} if draft.wrapper else {*draft.imports}
    lines = [
        f'"""The workload of {draft.source}, for stepbench.',
        "",
        f"Measure it: stepbench run --workload {spec}{batch}",
        '"""',
        "",
        *sorted(imports, key=lambda line: (line.startswith("from"), line)),
        "",
        "from stepbench import Workload",
        *(f"\n\n{source}" for source in draft.copied),
    ]
    if draft.wrapper is not None:
        code = LIGHTNING.format(model=draft.wrapper.code).rstrip("\n")
        lines.append(f"{code}{_mark('model', draft.wrapper)}" if draft.wrapper.gaps else code)
    lines += [
        "\n",
        "def make() -> Workload:",
        f'    """Describes the training of {draft.source}."""',
        "    return Workload(",
        *(f"        {name}={part.code},{_mark(name, part)}" for name, part in draft.fields.items()),
        "    )",
    ]
    return "\n".join(lines) + "\n"


def _mark(name: str, part: Expression) -> str:
    """The comment of a line that the user completes; empty for a complete line."""
    if not part.gaps:
        return ""
    gaps = ", ".join(" ".join(gap.split()) for gap in part.gaps if gap)
    return f"  # {MARK}: {gaps}" if gaps else f"  # {MARK}: {BELONGS_HERE[name]}"
