"""The memory traffic of weights: the bytes that a step moves for them, whatever its batch is."""

from stepbench_reports.read.measurement import Measurement
from stepbench_reports.schema.measurement import Findings
from stepbench_reports.schema.phases import Phase


def of_passes(measurement: Measurement) -> float:
    """Bytes that a step's forward and backward move for the weights alone; NaN if unknown.

    Forward reads the parameters. Backward reads those that are trained, and writes as many bytes of
    gradients. Each micro-batch does so again.
    """
    trains = Phase.BACKWARD in measurement.shares

    def of_a_pass(findings: Findings) -> float | None:
        model = findings.model
        return _sum(model.parameter_bytes, *[model.trainable_bytes] * (2 if trains else 0))

    return measurement.micro_batches * measurement.value(of_a_pass)


def of_update(measurement: Measurement) -> float:
    """Bytes that the optimizer must move at least in a step; NaN if unknown.

    It reads gradients, and reads and writes the parameters that are trained, and its own state.
    """

    def of_a_step(findings: Findings) -> float | None:
        model = findings.model
        return _sum(*[model.trainable_bytes] * 3, *[model.optimizer_bytes] * 2)

    return measurement.value(of_a_step)


def resident_bytes(measurement: Measurement) -> float:
    """The size of the tensors that a step comes back to, bytes; NaN if unknown.

    Parameters, gradients, the optimizer's state, and what autograd saves of a forward pass.
    """

    def of_a_step(findings: Findings) -> float | None:
        model, saved = findings.model, findings.memory.saved_bytes or 0
        return _sum(model.parameter_bytes, model.trainable_bytes, model.optimizer_bytes, saved)

    return measurement.value(of_a_step)


def _sum(*sizes: float | None) -> float | None:
    """The sum of sizes; `None` if one is unknown."""
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
