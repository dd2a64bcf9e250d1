"""Describes a case's bottleneck in sentences: its share of the step, evidence and remedies."""

import math
from collections.abc import Callable, Mapping

from stepbench_reports.analysis.bottleneck import Bottleneck, BottleneckKind
from stepbench_reports.analysis.stats import point
from stepbench_reports.read.measurement import Measurement, number
from stepbench_reports.schema.axes import EAGER, AxisValues
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.wording import quantity

MOST_GAIN = 100
"""The largest speed-up that is printed; above it, too little of the step is left to measure."""
_STARVED = 0.10
"""Both clocks' `dataload` are printed if they differ by more than this share of the step."""

_ALWAYS: Callable[[AxisValues], bool] = lambda _: True  # noqa: E731  # named for the tables below

_IF_LIFTED = {
    BottleneckKind.DATA: "if batches were there at once",
    BottleneckKind.TRANSFER: "if batches were on the device already",
    BottleneckKind.LAUNCH: "if operators cost nothing to launch",
    BottleneckKind.COMPUTE: "if computing took no time",
    BottleneckKind.COMPUTE_OR_LAUNCH: "if forward and backward took no time",
    BottleneckKind.OPTIMIZER: "if the optimizer took no time",
}
_COMPUTE_HINTS: tuple[tuple[str, Callable[[AxisValues], bool]], ...] = (
    ("a smaller model", _ALWAYS),
    ("--precision bf16", lambda axes: axes.get("precision") not in {"bf16", "fp16"}),
    ("a faster device", _ALWAYS),
)
_LAUNCH_HINTS: tuple[tuple[str, Callable[[AxisValues], bool]], ...] = (
    ("a larger --batch-size", _ALWAYS),
    ("--compile default", lambda axes: axes.get("compile", EAGER) == EAGER),
    ("fewer and larger operators", _ALWAYS),
)
_HINTS: Mapping[BottleneckKind, tuple[tuple[str, Callable[[AxisValues], bool]], ...]] = {
    BottleneckKind.DATA: (
        ("more --num-workers", _ALWAYS),
        ("cheaper transforms", _ALWAYS),
        ("the data in memory", _ALWAYS),
    ),
    BottleneckKind.TRANSFER: (
        ("--pin-memory on", lambda axes: axes.get("pin_memory") is not True),
        ("--non-blocking on", lambda axes: axes.get("non_blocking") is not True),
        ("fewer bytes a sample", _ALWAYS),
    ),
    BottleneckKind.LAUNCH: _LAUNCH_HINTS,
    BottleneckKind.COMPUTE: _COMPUTE_HINTS,
    BottleneckKind.COMPUTE_OR_LAUNCH: (*_COMPUTE_HINTS, *_LAUNCH_HINTS[:2]),
    BottleneckKind.OPTIMIZER: (
        ("a fused or foreach implementation", _ALWAYS),
        ("fewer trained parameters", _ALWAYS),
        ("a higher --accumulate", _ALWAYS),
    ),
}
"""Remedies for each bottleneck, each with a predicate: is it worth trying on these axes?"""


def short(measurement: Measurement) -> str:
    """The bottleneck in short names: `data`, `launch+compute`; empty if unknown."""
    bound = measurement.bound
    return quantity.NOTHING if bound is None else "+".join(kind.short for kind in bound.kinds)


def cell(measurement: Measurement) -> str:
    """The bottleneck in short names with shares of the step: `data 62 %`; empty if unknown."""
    bound = measurement.bound
    if bound is None:
        return quantity.NOTHING
    return " + ".join(
        f"{kind.short} {quantity.percent(bound.share_of(kind))}" for kind in bound.kinds
    )


def clause(measurement: Measurement) -> str:
    """The bottleneck in one short sentence; empty if unknown."""
    bound = measurement.bound
    if bound is None:
        return ""
    shares = " and ".join(
        f"{kind} ({quantity.percent(bound.share_of(kind))} of its step)" for kind in bound.kinds
    )
    if bound.gain > MOST_GAIN:
        return f"It is bound by {shares}."
    without = f"{bound.kinds[0]}" if len(bound.kinds) > 1 else "that"
    return f"It is bound by {shares}: at best {_times(bound.gain)} as fast without {without}."


def sentences(measurement: Measurement, share_of_ceiling: float = math.nan) -> str:
    """Describes a case's bottleneck, the figures that show it, and possible remedies.

    Args:
        measurement: The case.
        share_of_ceiling: The case's FLOP/s divided by the device's peak FLOP/s; NaN if unknown.

    Returns:
        The sentences; empty if the bottleneck is unknown.
    """
    bound = measurement.bound
    if bound is None:
        return ""
    names = " and ".join(bound.kinds)
    because = "; ".join(
        _because(measurement, bound, kind, share_of_ceiling) for kind in bound.kinds
    )
    lifted = "; ".join(
        f"{_best(bound, kind)}: {_hints(measurement.axes, kind)}" for kind in bound.kinds
    )
    return f"bound by {names}: {because}; {lifted}.{_two_waits(measurement)}"


def _because(
    measurement: Measurement, bound: Bottleneck, kind: BottleneckKind, share_of_ceiling: float
) -> str:
    """The figures that show that `kind` is a bottleneck."""
    share = f"{quantity.percent(bound.share_of(kind))} of the step"
    match kind:
        case BottleneckKind.DATA:
            ahead = number(measurement.axes.get("num_workers")) > 0
            what = "waits for the loader" if ahead else "makes the batch itself"
            return f"{share} {what}{_rates(measurement, bound)}"
        case BottleneckKind.TRANSFER:
            return f"{share} moves batches to the device"
        case BottleneckKind.LAUNCH:
            taken = _in_ms(bound.parts[kind])
            return f"{share} is what forward and backward take with next to no data ({taken})"
        case BottleneckKind.COMPUTE:
            launch_s = bound.parts.get(BottleneckKind.LAUNCH, 0.0)
            beyond = f" beyond {_in_ms(launch_s)} of launch overhead" if launch_s else ""
            return f"{share} is forward and backward{beyond}{_reached(share_of_ceiling)}"
        case BottleneckKind.COMPUTE_OR_LAUNCH:
            findings = measurement.findings
            known = (None if findings is None else findings.fixed.reason) or "not measured"
            return (
                f"{share} is forward and backward, launch overhead included ({known})"
                f"{_reached(share_of_ceiling)}"
            )
        case BottleneckKind.OPTIMIZER:
            return f"{share} is the optimizer{_trained(measurement)}"


def _rates(measurement: Measurement, bound: Bottleneck) -> str:
    """The loader's samples/s when it runs alone, and those of the rest of the step."""
    own = measurement.loader_samples_per_s
    rest_s = bound.best_without(BottleneckKind.DATA)
    rates = []
    if own > 0:
        doubt = ", though others disturbed it" if measurement.loader_disturbed else ""
        rates.append(f"{_rate(own)} samples/s by itself{doubt}")
    if rest_s * MOST_GAIN > bound.step_s:
        rates.append(f"the rest of the step could take {_rate(measurement.samples / rest_s)}")
    return f" ({'; '.join(rates)})" if rates else ""


def _reached(share_of_ceiling: float) -> str:
    if math.isnan(share_of_ceiling):
        return ""
    reached = quantity.percent(share_of_ceiling)
    return f", at {reached} of the machine's ceiling over the whole step"


def _trained(measurement: Measurement) -> str:
    trainable = measurement.value(lambda findings: findings.model.trainable)
    return "" if math.isnan(trainable) else f", for {trainable:,.0f} parameters"


def _best(bound: Bottleneck, kind: BottleneckKind) -> str:
    """The shortest possible step without one part, and the condition for it."""
    gain = bound.gain_without(kind)
    if gain > MOST_GAIN:
        return f"next to nothing would be left of the step {_IF_LIFTED[kind]}"
    limit = " (the loader gives no more)" if bound.loader_limits(kind) else ""
    best = _in_ms(bound.best_without(kind))
    return f"at best {best} a step, {_times(gain)}{limit}, {_IF_LIFTED[kind]}"


def _hints(axes: AxisValues, kind: BottleneckKind) -> str:
    return ", ".join(hint for hint, useful in _HINTS[kind] if useful(axes))


def _two_waits(measurement: Measurement) -> str:
    """Device starvation and Python's wait for data; empty unless the two differ notably."""
    if measurement.clock != "device":
        return ""
    starved_s = measurement.mean_lap(Phase.DATALOAD, "device")
    waited_s = measurement.mean_lap(Phase.DATALOAD, "host")
    step_s = measurement.mean_lap(STEP, "device")
    if not abs(waited_s - starved_s) > _STARVED * step_s:
        return ""
    return (
        f" In dataload the device starves for {_in_ms(starved_s)} a step, and Python waits for "
        f"{_in_ms(waited_s)}."
    )


def _times(gain: float) -> str:
    return quantity.times(point(gain))


def _in_ms(seconds: float) -> str:
    return f"{quantity.milliseconds(point(seconds))} ms"


def _rate(samples_per_s: float) -> str:
    return quantity.rate(point(samples_per_s))
