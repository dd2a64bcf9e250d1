"""Saves and reloads a model, as the lesson does, and compares the outputs of a fresh one."""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stepbench.parity.stored_tensors import load_state, save_state
from stepbench.parity.trajectory import named_tensors
from stepbench.training import step
from stepbench.training.batch import map_tensors
from stepbench.training.build import Built
from stepbench.training.device_transfer import to_device
from stepbench.training.training import Training, call_model
from stepbench_reports.schema.parity import ReloadFacts

PREFIX = "_orig_mod."
"""The prefix that `torch.compile` adds to a parameter's name, once for each compiled module."""


def reload(built: Built, batch: Any) -> ReloadFacts:  # noqa: ANN401  # a batch is anything
    """Saves a trained model's `state_dict`, loads it into a fresh model and compares outputs.

    The state is read with `weights_only=True`. A compiled model's state is saved with the compiled
    model's names. Outputs are compared bit for bit, in
    evaluation mode and without `torch.compile`.

    Args:
        built: The case, trained.
        batch: A batch of the case, as the data loader yields it.

    Returns:
        True in `identical` if the outputs agree, else False with a reason; `None` with a reason if
        the outputs hold no tensors or differ from call to call.
    """
    training = built.training
    model: Any = training.model
    state = model.state_dict() if isinstance(model, nn.Module) else built.model.state_dict()
    calls = _calls(training, to_device(batch, training.transfer))
    fresh = built.workload.model().to(training.device)
    if training.transfer.channels_last:
        fresh = fresh.to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "state.pt")
        save_state(file, state)
        try:
            loaded = load_state(file, training.device)
        except Exception as error:  # noqa: BLE001  # the unpickler may raise anything
            message = " ".join(str(error).split())[:200]
            return ReloadFacts(
                identical=False,
                reason=f"its state_dict cannot be loaded with weights_only=True: {message}",
            )
    try:
        fresh.load_state_dict(without_prefixes(loaded))
    except RuntimeError as error:
        message = " ".join(str(error).split())[:200]
        return ReloadFacts(
            identical=False, reason=f"a new model cannot load its state_dict: {message}"
        )
    trained = _outputs(built, built.model, calls)
    if not trained:
        return ReloadFacts(identical=None, reason="its outputs contain no tensors")
    if not _equal(trained, _outputs(built, built.model, calls)):
        return ReloadFacts(
            identical=None, reason="its outputs differ from call to call in evaluation mode"
        )
    if not _equal(trained, _outputs(built, fresh, calls)):
        return ReloadFacts(
            identical=False,
            reason="its outputs differ after saving and reloading: part of its state is not in its "
            "state_dict",
        )
    return ReloadFacts(identical=True)


def without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames a state's tensors to the names of the uncompiled model."""
    return {name.replace(PREFIX, ""): tensor for name, tensor in state.items()}


Call = Callable[[nn.Module], Any]
"""Calls a model with the inputs that a step gives to it."""


def _calls(training: Training, batch: Any) -> list[Call]:  # noqa: ANN401  # a batch is anything
    """Records each call of the model in a step; the batch is on the device already."""
    if training.step is None:
        inputs, _ = training.split(batch)
        return [lambda model: call_model(model, inputs)]
    calls: list[Call] = []

    def model(*inputs: Any, **keywords: Any) -> Any:  # noqa: ANN401  # as any model
        copies = map_tensors((inputs, keywords), lambda tensor: tensor.detach().clone())
        calls.append(lambda model: model(*copies[0], **copies[1]))
        return training.model(*inputs, **keywords)

    training.step(step.DryRunStep(replace(training, model=model), batch))
    return calls


def _outputs(built: Built, model: nn.Module, calls: Iterable[Call]) -> list[Tensor]:
    training = model.training
    model.eval()
    torch.manual_seed(0)
    try:
        with torch.no_grad(), built.training.autocast():
            return [tensor.clone() for call in calls for _, tensor in named_tensors(call(model))]
    finally:
        model.train(training)


def _equal(left: list[Tensor], right: list[Tensor]) -> bool:
    return len(left) == len(right) and all(
        a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())
        for a, b in zip(left, right, strict=True)
    )
