"""The findings of a case's measurement, as its file in the run directory has them.

`docs/run-directory.md` describes the file; `SCHEMA` is raised when its meaning changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SCHEMA = 2


@dataclass(frozen=True, kw_only=True)
class Block:
    """A stretch of steps measured together.

    Attributes:
        kind: `lapped` (a lap at each phase boundary) or `bare` (the plain loop).
        steps: How many training steps.
        elapsed_s: From before the first to after the last, all device work done.
    """

    kind: str
    steps: int
    elapsed_s: float


@dataclass(frozen=True)
class ColdStart:
    """A first compilation, with an empty cache. Seconds.

    Attributes:
        compile_s: What torch itself says that compiling took.
        first_step_s: The whole first step.
    """

    compile_s: float
    first_step_s: float


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Findings of measuring a case. Times in seconds, sizes in bytes.

    The fields are those of `docs/run-directory.md`.
    """

    data: Mapping[str, Any]
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    clock: Mapping[str, Any]
    phases: tuple[str, ...]
    laps: Mapping[str, Mapping[str, list[float]] | None]
    micro_laps: Mapping[str, list[list[float]]] | None
    blocks: tuple[Block, ...]
    sampling: Mapping[str, Any]
    noise: Mapping[str, Any]
    warmup: Mapping[str, Any]
    first_step_s: float
    loader: Mapping[str, Any]
    compile: Mapping[str, Any] | None
    memory: Mapping[str, Any]
    work: Mapping[str, Any]
    fixed: Mapping[str, Any]
