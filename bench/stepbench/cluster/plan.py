"""Plans the jobs of a run: which cases one node measures together."""

import math
from collections.abc import Hashable, Sequence

from stepbench.config.case import Case
from stepbench.scheduling.grouping import MAX_PLAYERS


def plan(cases: Sequence[Case], nodes: int) -> list[tuple[Case, ...]]:
    """Splits cases into jobs.

    Cases that differ only in how they compute the same step are compared most, and stay in one job.
    Those that compile to the same code follow one another, and are split only if they are too many
    for a job: each job compiles again.

    Args:
        cases: The cases, in order.
        nodes: The number of nodes; with more nodes, jobs are smaller.
    """
    size = min(MAX_PLAYERS, max(1, math.ceil(len(cases) / max(1, nodes))))
    jobs: list[list[Case]] = []
    for sharing in _sharing_caches(_variants(cases)):
        count = sum(map(len, sharing))
        fits = bool(jobs) and len(jobs[-1]) + count <= size
        if not fits:
            jobs.append([])
        for variants in sharing:
            if jobs[-1] and len(jobs[-1]) + len(variants) > size:
                jobs.append([])
            jobs[-1] += variants
    return [tuple(job) for job in jobs]


def _variants(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases that differ only in how they compute, for each such step."""
    by_key: dict[Hashable, list[Case]] = {}
    for case in cases:
        by_key.setdefault(case.variant_key, []).append(case)
    return list(by_key.values())


def _sharing_caches(units: Sequence[list[Case]]) -> list[list[list[Case]]]:
    """The units that share compiled code or compared tensors, directly or through others."""
    groups: dict[int, list[list[Case]]] = {}
    group_of: dict[Case, int] = {}
    keys_of: dict[int, set[Case]] = {}
    for number, unit in enumerate(units):
        keys = {case.compile_key for case in unit if case.has_compile_cache}
        keys |= {case.numerics_key for case in unit}
        met = sorted({group_of[key] for key in keys if key in group_of})
        target = met[0] if met else number
        merged = groups.setdefault(target, [])
        for other in met[1:]:
            merged += groups.pop(other)
            keys |= keys_of.pop(other)
        merged.append(unit)
        keys_of.setdefault(target, set()).update(keys)
        group_of.update(dict.fromkeys(keys, target))
    return list(groups.values())
