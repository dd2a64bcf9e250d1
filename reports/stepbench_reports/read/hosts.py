"""The hosts of a run on a cluster, compared by the cases that several of them have measured."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs

from stepbench_reports.analysis.stats import UNKNOWN, Interval, exponential, sum_of_means
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.schema.cluster import HostFacts

SLOW = 0.97
"""A host is slow if its speed is certainly below this share of the other hosts' speed."""
CONFIDENCE = 0.95
"""The probability with which all intervals of a run's hosts hold together."""


@dataclass(frozen=True)
class HostSpeed:
    """A host's speed.

    Attributes:
        facts: The host.
        cases: The number of cases that it has measured, of which the run keeps it as their host.
        reference: Samples/s of the reference case on the host; NaN if it was not measured there.
        relative: The host's speed over that of the other hosts (their median), over all cases that
            it has in common with others; all NaN if there is none.
    """

    facts: HostFacts
    cases: int
    reference: Interval
    relative: Interval

    @property
    def is_slow(self) -> bool:
        """True if the host is slower than the others by more than chance allows."""
        return self.relative.high < SLOW


def common_cases(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """The ids of the cases that more than one host has measured, in order.

    Args:
        measurements: All measurements of a run, repeated ones included.
    """
    hosts: dict[str, set[str | None]] = {}
    for m in measurements:
        if m.ok:
            hosts.setdefault(m.id, set()).add(m.host)
    return tuple(case_id for case_id, on in hosts.items() if len(on) > 1)


def combined(measurements: Sequence[Measurement]) -> Measurement:
    """One measurement with the turns of several of the same case: a link between their jobs.

    Args:
        measurements: Measurements with figures; at least one.
    """
    first = measurements[0]
    turns = [m.findings.turns for m in measurements if m.findings is not None]
    if first.findings is None:
        raise ValueError(f"{first.id}: has no figures")
    findings = structs.replace(first.findings, turns=tuple(turn for of in turns for turn in of))
    return replace(first, findings=findings)


def links(cases: Iterable[Measurement], repeats: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """The cases that several jobs have measured, each with the turns of all of them.

    Args:
        cases: The measured cases of the run.
        repeats: Further measurements of these cases.
    """
    repeated: dict[str, list[Measurement]] = {}
    for m in repeats:
        if m.ok:
            repeated.setdefault(m.id, []).append(m)
    own = {m.id: [m] for m in cases if m.id in repeated}
    return tuple(combined([*own.get(case_id, []), *others]) for case_id, others in repeated.items())


def host_speeds(
    hosts: Sequence[HostFacts], cases: Sequence[Measurement], repeats: Sequence[Measurement]
) -> tuple[HostSpeed, ...]:
    """Compares hosts.

    Args:
        hosts: The hosts.
        cases: The cases of the run.
        repeats: Further measurements of these cases.
    """
    measured = [m for m in (*cases, *repeats) if m.ok]
    common = common_cases(measured)
    logs = _centred_logs([m for m in measured if m.id in set(common)])
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(logs))
    speeds = []
    for facts in hosts:
        own = [m for m in measured if m.host == facts.name]
        reference = [m for m in own if common and m.id == common[0]]
        speeds.append(
            HostSpeed(
                facts,
                sum(m.host == facts.name for m in cases if m.ok),
                combined(reference).samples_per_s if reference else UNKNOWN,
                _relative(facts.name, logs, confidence),
            )
        )
    return tuple(speeds)


def _centred_logs(measured: Sequence[Measurement]) -> Mapping[str, Sequence[float]]:
    """For each host, the logs of its steps over the mean of all hosts for the same case.

    A sample is a job if the host has several, as jobs differ more than the generations of one do;
    else it is a generation.
    """
    steps: dict[str, dict[str, dict[tuple[int, int], float]]] = {}  # by case, host, generation
    for m in measured:
        for key, of_generation in m.generations.items():
            group, generation = key if isinstance(key, tuple) else (0, 0)
            by_host = steps.setdefault(m.id, {}).setdefault(str(m.host), {})
            by_host[group, generation] = math.log(of_generation.all_s)
    samples: dict[str, dict[tuple[int, int], list[float]]] = {}
    for of_case in steps.values():
        centre = float(np.mean([np.mean(list(logs.values())) for logs in of_case.values()]))
        for host, logs in of_case.items():
            for key, log in logs.items():
                samples.setdefault(host, {}).setdefault(key, []).append(log - centre)
    return {host: _units(by_key) for host, by_key in samples.items()}


def _units(by_key: Mapping[tuple[int, int], Sequence[float]]) -> list[float]:
    """The mean of each job; of each generation if there is but one job."""
    by_group: dict[int, list[float]] = {}
    for (group, _), logs in by_key.items():
        by_group.setdefault(group, []).append(float(np.mean(logs)))
    if len(by_group) > 1:
        return [float(np.mean(logs)) for logs in by_group.values()]
    return [log for logs in by_group.values() for log in logs]


def _relative(host: str, logs: Mapping[str, Sequence[float]], confidence: float) -> Interval:
    """A host's speed over the median host's among the others."""
    others = sorted((own for name, own in logs.items() if name != host), key=np.mean)
    if host not in logs or not others:
        return UNKNOWN
    own, other = logs[host], others[(len(others) - 1) // 2]
    # A longer step is a lower speed.
    return exponential(sum_of_means(((1.0, other), (-1.0, own)), confidence))
