"""Counts the operations of a case's step, and the memory that autograd keeps of the step."""

from dataclasses import replace
from typing import Any

from stepbench.config.case import Case
from stepbench.measurement import dispatch_counter
from stepbench.training import phases
from stepbench.training.batch import tensors
from stepbench.training.build import Built
from stepbench.training.device_transfer import to_device
from stepbench.training.step import DryRunStep
from stepbench.training.training import Training
from stepbench_reports.schema.measurement import Operations


def count_operations(
    built: Built,
    case: Case,
    batch: Any,  # noqa: ANN401  # a batch is anything
) -> tuple[Operations, int | None]:
    """Counts a step's operations, and the bytes that autograd keeps of a forward pass.

    Operators are counted on the eager model, since compiled code dispatches none. The bytes kept
    are counted on the case's model, compiled if the case is.

    Returns:
        The operations, or the reason why they are unknown; the bytes, `None` if unknown or
        if the case does not train.
    """
    training = built.training
    on_device = to_device(batch, training.transfer)
    inputs, target = training.split(on_device)
    existing = [*built.model.parameters(), *built.model.buffers(), *tensors((inputs, target))]
    eager = replace(training, model=built.model)
    try:
        work = dispatch_counter.count(
            _step_on(on_device, eager, case), existing, backward=case.trains
        )
    except Exception as error:  # noqa: BLE001  # any operator of the user's model may fail under a mode
        reason = " ".join(f"the operators could not be counted: {error!r}".split())
        return Operations(flops=None, bytes=None, operators=None, reason=reason), None
    saved_bytes = work.saved_bytes
    if case.compile != "off" and case.trains:
        saved_bytes = dispatch_counter.saved_bytes(_step_on(on_device, training, case), existing)
    facts = Operations(flops=work.flops, bytes=work.bytes, operators=work.operators)
    return facts, saved_bytes


def _step_on(batch: Any, training: Training, case: Case) -> dispatch_counter.Step:  # noqa: ANN401
    """Makes a step, without the optimizer, on a batch that is already on the device."""

    def step(forward_context: dispatch_counter.ForwardContext) -> None:
        custom_step = training.step
        if case.trains and custom_step is not None:
            custom_step(DryRunStep(training, batch, forward_context))
            return
        inputs, target = training.split(batch)
        with forward_context():
            loss = phases.forward(training, inputs, target)
        if case.trains:
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped

    return step
