"""Builds directories of regression checks with made-up pairs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stepbench_reports import regression
from stepbench_reports.regression import Check
from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.check import (
    SCHEMA,
    CheckSpec,
    Fact,
    FailedPairLine,
    OperatorsFact,
    PairLine,
    SideEnd,
    SideFacts,
    SideFailure,
    SideName,
    Stage,
    TurnSeries,
)
from stepbench_reports.schema.compilation import Compilation
from stepbench_reports.schema.files import CHECK, FACTS, PAIRS, encode, write_record
from stepbench_reports.schema.machine import MachineFacts
from stepbench_reports.schema.profile import Breakdown, OperatorRow

CASE = "convnet-cpu-b32-w0-off-fp32"
OTHER = "convnet-cpu-b4-w0-off-fp32"
SHARES = {"dataload": 0.3, "forward": 0.3, "backward": 0.39, "optimizer": 0.01}
STEP_S = 0.004


def end(
    *,
    host_peak_bytes: float = 2**28,
    device_peak_bytes: int | None = None,
    compiled: Compilation | None = None,
) -> SideEnd:
    """The facts of a side after its last turn."""
    return SideEnd(
        host_peak_bytes=int(host_peak_bytes),
        device_peak_bytes=device_peak_bytes,
        compile=compiled,
        modules=3,
    )


def compilation(
    *, graph_breaks: int = 0, recompiles: int = 0, cuda_graph_skips: int | None = None
) -> Compilation:
    """A side's compilation."""
    return Compilation(
        backend="inductor",
        mode="default",
        graphs=1,
        graph_breaks=graph_breaks,
        recompiles=recompiles,
        compile_s=10.0,
        cuda_graph_skips=cuda_graph_skips,
    )


def entry(
    number: int,
    changes: Mapping[str, float] | None = None,
    *,
    case: str = CASE,
    stage: Stage = "screen",
    server: int = 1,
    interference: bool = False,
    together: bool = True,
    base: SideEnd | None = None,
    head: SideEnd | None = None,
) -> PairLine:
    """A pair whose head is slower by shares of the step in some phases."""
    slower = changes or {}
    sides: tuple[SideName, ...] = ("base", "head", "head", "base")
    phases = {
        phase: tuple(
            10 * STEP_S * (share + (slower.get(phase, 0.0) if side == "head" else 0.0))
            for side in sides
        )
        for phase, share in SHARES.items()
    }
    return PairLine(
        case=case,
        round=number,
        server=server,
        stage=stage,
        turns=TurnSeries(
            side=sides,
            steps=(10,) * 4,
            elapsed_s=tuple(sum(values) for values in zip(*phases.values(), strict=True)),
            phases_s=phases,
            **quiet(len(sides)),
        ),
        sides={"base": base or end(), "head": head or end()},
        together=together,
        interference=interference,
        elapsed_s=3.0,
    )


def failed(side: SideName = "head", reason: str = "out of memory") -> FailedPairLine:
    """A pair in which a side failed."""
    failure = SideFailure(side=side, reason=reason)
    return FailedPairLine(case=CASE, round=1, server=1, stage="screen", failed=failure)


def quiet(turns: int) -> dict[str, Any]:
    """The machine's state in turns without interference."""
    nothing, never = (0.0,) * turns, (None,) * turns
    return {"others": nothing, "steal": nothing, "run_delay_s": nothing, "throttled": never}


def noise(count: int, spread: float = 0.005, seed: int = 0) -> list[float]:
    """Random changes, symmetric about 0."""
    return [float(change) for change in np.random.default_rng(seed).normal(0, spread, count)]


def entries(
    count: int, slower: float = 0.0, *, phase: str = "forward", first: int = 1, **more: Any
) -> list[PairLine]:
    """Pairs whose head is slower in a phase by about a share of the step."""
    return [
        entry(first + number, {phase: slower + change}, **more)
        for number, change in enumerate(noise(count, seed=first))
    ]


def spec(cases: Sequence[str] = (CASE,), **changes: Any) -> CheckSpec:
    """The specification of a check."""
    packages = {"torch": "2.15.0"}
    defaults: dict[str, Any] = {
        "schema": SCHEMA, "id": "regression-1", "started": "2026-11-25T09:30:00+00:00",
        "command": "stepbench regression --base main", "arguments": ("--base", "main"),
        "directory": "/home/me/net", "stepbench": "0.1.0",
        "machine": MachineFacts(
            cpu="A CPU", usable_cores=2, memory_bytes=2**34, system="Linux 6", python="3.12.1"
        ),
        "sides": {
            "base": SideFacts(
                commit="0" * 40, described="main, 000000000 (Before)", packages=packages
            ),
            "head": SideFacts(
                commit="0" * 40,
                described="the working tree, 111111111 (After)",
                packages=packages,
            ),
        },
        "min_effect": 0.03, "fingerprint": "f", "cases": tuple(cases),
        "axes": {case: Axes(workload="convnet") for case in cases},
    }  # fmt: skip
    return CheckSpec(**{**defaults, **changes})


def write(
    path: Path,
    pairs: Iterable[PairLine | FailedPairLine] = (),
    facts: Iterable[Fact] = (),
    **changes: Any,
) -> Check:
    """Writes a check's directory, and reads it."""
    path.mkdir(parents=True, exist_ok=True)
    write_record(path / CHECK, spec(**changes), indented=True)
    for name, lines in ((PAIRS, pairs), (FACTS, facts)):
        (path / name).write_bytes(b"".join(encode(line) + b"\n" for line in lines))
    return regression.load(path)


def traces(case: str = CASE, grown_s: float = 0.0002) -> list[OperatorsFact]:
    """A trace of each side, in which an operator grew."""
    return [_trace(case, "base", 0.001), _trace(case, "head", 0.001 + grown_s)]


def _trace(case: str, side: SideName, seconds: float) -> OperatorsFact:
    rows = (_row("aten::mm", seconds), _row("aten::relu", 0.0001))
    step_s = 10 * (seconds + 0.0001)
    breakdown = Breakdown(steps=10, step_s=step_s, phase_s={"forward": step_s}, rows=rows)
    return OperatorsFact(case=case, side=side, breakdown=breakdown)


def _row(operator: str, seconds: float) -> OperatorRow:
    return OperatorRow(
        phase="forward",
        operator=operator,
        shapes="",
        calls=10,
        host_self_s=10 * seconds,
        device_self_s=0.0,
        allocated_bytes=0,
    )
