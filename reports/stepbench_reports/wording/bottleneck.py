"""Describes a case's bottleneck in sentences: its share of the step, evidence and remedies."""

import math

from stepbench_reports.analysis.bottleneck import Bottleneck, BottleneckKind
from stepbench_reports.analysis.stats import Interval, point
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.numbers import number
from stepbench_reports.read.run import Run
from stepbench_reports.schema.phases import STEP, Phase
from stepbench_reports.wording import quantity, remedies, traffic

MAX_GAIN = 100
"""The largest speed-up that is printed; above it, too little of the step is left to measure."""
MIN_CLOCK_DIFFERENCE = 0.10
"""Both clocks' `dataload` are printed if they differ by more than this share of the step."""

_WITHOUT = {
    BottleneckKind.DATA: "waiting for data",
    BottleneckKind.WORKERS: "the loader's work",
    BottleneckKind.TRANSFER: "transfers",
    BottleneckKind.FIXED: "the fixed cost",
    BottleneckKind.COMPUTE: "compute",
    BottleneckKind.COMPUTE_OR_FIXED: "forward and backward",
    BottleneckKind.OPTIMIZER: "the optimizer",
}
"""The end of a sentence about a step without a part: "without waiting for data"."""


def short(measurement: Measurement) -> str:
    """The bottleneck in short names: `data`, `fixed+compute`; empty if unknown."""
    bottleneck = measurement.bottleneck
    if bottleneck is None:
        return quantity.NOTHING
    return "+".join(kind.short for kind in bottleneck.kinds)


def cell(measurement: Measurement) -> str:
    """The bottleneck in short names with shares of the step: `data 62 %`; empty if unknown."""
    bottleneck = measurement.bottleneck
    if bottleneck is None:
        return quantity.NOTHING
    return " + ".join(
        f"{kind.short} {quantity.percent(bottleneck.share_of(kind))}" for kind in bottleneck.kinds
    )


def clause(measurement: Measurement) -> str:
    """The bottleneck in one short sentence; empty if unknown."""
    bottleneck = measurement.bottleneck
    if bottleneck is None:
        return ""
    first, *second = bottleneck.kinds
    text = f"Its bottleneck is {first} ({quantity.percent(bottleneck.share_of(first))} of the step)"
    for kind in second:
        text += f" and {kind} ({quantity.percent(bottleneck.share_of(kind))})"
    if bottleneck.gain.value <= MAX_GAIN and not quantity.is_vague(bottleneck.gain):
        text += f": about {quantity.times_range(bottleneck.gain)} as fast without {_WITHOUT[first]}"
    return f"{text}.{_hidden_launches(measurement)}"


def sentences(run: Run, measurement: Measurement) -> str:
    """Describes a case's bottleneck, the figures that show it, and possible remedies.

    Args:
        run: The run of the case; remedies that it has refuted are left out.
        measurement: The case.

    Returns:
        The sentences; empty if the bottleneck is unknown.
    """
    bottleneck = measurement.bottleneck
    if bottleneck is None:
        return ""
    texts = (
        f"{kind.capitalize()}: "
        f"{_evidence(run, measurement, bottleneck, kind)} "
        f"{_best_step(bottleneck, kind)}{_prediction(bottleneck, kind)}"
        f"{remedies.sentence(run, measurement, kind)}"
        for kind in bottleneck.kinds
    )
    return f"{' '.join(texts)}{_hidden_launches(measurement)}{_starvation(measurement)}"


def _evidence(
    run: Run, measurement: Measurement, bottleneck: Bottleneck, kind: BottleneckKind
) -> str:
    """The figures that show that `kind` is a bottleneck."""
    share = f"{quantity.percent(bottleneck.share_of(kind))} of the step"
    match kind:
        case BottleneckKind.DATA:
            prefetches = number(measurement.axes.get("num_workers")) > 0
            activity = "waiting for the loader" if prefetches else "making the batch"
            text = f"{share} is {activity}.{_rates(measurement, bottleneck)}"
        case BottleneckKind.WORKERS:
            text = (
                f"{share} is forward and backward beyond what they take with nothing to load: "
                f"loader workers use the same cores."
            )
        case BottleneckKind.TRANSFER:
            text = f"{share} is moving batches to the device."
        case BottleneckKind.FIXED:
            fixed, hides = _in_ms(point(bottleneck.parts[kind])), _hiding_phases(measurement)
            exposed = [phase for phase in measurement.launches if phase not in hides]
            passes = f"{exposed[0].capitalize()} takes" if hides else "Forward and backward take"
            text = f"{share}. {passes} {fixed} even with next to no data."
            text += "" if hides else traffic.of_passes(run, measurement, bottleneck.parts[kind])
        case BottleneckKind.COMPUTE:
            fixed_s = bottleneck.parts.get(BottleneckKind.FIXED, 0.0)
            beyond = f", without {_in_ms(point(fixed_s))} of fixed cost" if fixed_s else ""
            text = f"{share} is forward and backward{beyond}.{_roof_share(run, measurement)}"
        case BottleneckKind.COMPUTE_OR_FIXED:
            findings = measurement.findings
            overhead = None if findings is None else findings.launch_overhead
            reason = "" if overhead is None or not overhead.reason else f" ({overhead.reason})"
            text = (
                f"{share} is forward and backward; its fixed cost was not measured{reason}."
                f"{_roof_share(run, measurement)}"
            )
        case BottleneckKind.OPTIMIZER:
            text = (
                f"{share} is the optimizer{_parameters(measurement)}."
                f"{traffic.of_update(run, measurement, bottleneck.parts[kind])}"
            )
    return text


def _rates(measurement: Measurement, bottleneck: Bottleneck) -> str:
    """The loader's samples/s when it runs alone, and those that the rest of the step could use."""
    loader_rate = measurement.loader_samples_per_s
    rest_s = bottleneck.best_without(BottleneckKind.DATA).value
    rates = []
    if loader_rate > 0:
        doubt = ", despite interference" if measurement.loader_interference else ""
        rates.append(f"the loader alone gives {_rate(loader_rate)} samples/s{doubt}")
    if rest_s * MAX_GAIN > bottleneck.step_s:
        rates.append(
            f"the rest of the step could use {_rate(measurement.samples / rest_s)} samples/s"
        )
    text = "; ".join(rates)
    return f" {text[0].upper()}{text[1:]}." if text else ""


def _roof_share(run: Run, measurement: Measurement) -> str:
    """The step's share of what the machine allows at its FLOPs per byte, as a sentence."""
    share_of_roof = run.share_of_roof(measurement)
    if math.isnan(share_of_roof):
        return ""
    text = f" The whole step reaches {quantity.percent(share_of_roof)} of "
    if not run.limited_by_memory(measurement):
        return f"{text}the machine's peak throughput."
    text += f"what memory allows at {quantity.number(measurement.intensity)} FLOP per byte"
    if run.fits_cache(measurement):
        text += ", if its bytes came from memory; its tensors fit the cache"
    return f"{text}."


def _parameters(measurement: Measurement) -> str:
    trainable = measurement.value(lambda findings: findings.model.trainable)
    return "" if math.isnan(trainable) else f", which updates {trainable:,.0f} parameters"


def _best_step(bottleneck: Bottleneck, kind: BottleneckKind) -> str:
    """Says how short the step would be without its part `kind`."""
    gain = bottleneck.gain_without(kind)
    if gain.value > MAX_GAIN:
        return f"Without {_WITHOUT[kind]}, next to nothing of the step would be left."
    if quantity.is_vague(gain):
        return (
            f"How long a step takes without {_WITHOUT[kind]} cannot be told: it differs too much."
        )
    limit = ""
    if bottleneck.loader_limits(kind):
        limit = ", and the loader limits it"
    elif bottleneck.launches_limit(kind):
        limit = ", and launches limit it"
    best = _in_ms(bottleneck.best_without(kind))
    return (
        f"Without {_WITHOUT[kind]}, a step takes about {best}: "
        f"{quantity.times_range(gain)} as fast{limit}."
    )


def _prediction(bottleneck: Bottleneck, kind: BottleneckKind) -> str:
    """The gain of a change of settings that follows from the figures; empty if there is none."""
    if kind is BottleneckKind.WORKERS:
        gain = bottleneck.gain_without_workers()
        text = f" With --num-workers 0, a step would be about {quantity.times(gain)} as fast."
    elif kind is BottleneckKind.FIXED:
        gain = bottleneck.gain_of_double_batch()
        text = (
            f" Twice the --batch-size would give about {quantity.times_range(gain)} the samples/s."
        )
    else:
        return ""
    return "" if math.isnan(gain.value) else text


def _hiding_phases(measurement: Measurement) -> list[str]:
    """The phases in which the device's work hides launches."""
    return [phase for phase, launches in measurement.launches.items() if launches.hidden_s > 0]


def _hidden_launches(measurement: Measurement) -> str:
    """The launches that the device's work hides, as a sentence; empty if there are none."""
    phases = _hiding_phases(measurement)
    if not phases:
        return ""
    where = "" if len(phases) == len(measurement.launches) else f" in {phases[0]}"
    hidden = _in_ms(point(measurement.hidden_launch_s))
    return f" {hidden} of kernel launches{where} are hidden behind the device's work."


def _starvation(measurement: Measurement) -> str:
    """Device starvation and Python's wait for data; empty unless the two differ notably."""
    if measurement.clock != "device":
        return ""
    starved_s = measurement.mean_lap(Phase.DATALOAD, "device")
    waited_s = measurement.mean_lap(Phase.DATALOAD, "host")
    step_s = measurement.mean_lap(STEP, "device")
    if not abs(waited_s - starved_s) > MIN_CLOCK_DIFFERENCE * step_s:
        return ""
    return (
        f" In dataload, the device starves for {_in_ms(point(starved_s))} a step, and Python waits "
        f"for {_in_ms(point(waited_s))}."
    )


def _in_ms(seconds: Interval) -> str:
    return f"{quantity.milliseconds(seconds)} ms"


def _rate(samples_per_s: float) -> str:
    return quantity.rate(point(samples_per_s))
