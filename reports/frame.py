"""A run directory as tidy pandas frames.

`docs/run-directory.md` describes what is read. Whatever else the files hold is left alone, so that
runs of a later stepbench with the same schema can be reported on as well.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from . import comparison
from .errors import ReportError
from .stats import UNKNOWN, Interval, median_interval

SCHEMA = 1
"""The newest schema that can be read."""
PHASES = ("dataload", "transfer", "forward", "backward", "optimizer")
"""Phases in the order in which a step has them; others come after these."""
STEP = "step"
"""The whole step."""
CLOCKS = ("host", "device")
"""By whose clock laps are taken."""
OK = "ok"
"""The status of a case that was measured."""
DAMAGED = "damaged"
"""Our word for a case whose file cannot be read."""
NOT_MEASURED = "not measured"
"""Our word for a case that has no file."""

Laps: TypeAlias = Mapping[str, NDArray[np.float64]]
"""Seconds by phase, one for each step; `step` is the whole."""


class _DamageError(Exception):
    """Why a case's file cannot be reported on."""


@dataclass(frozen=True)
class Measurement:
    """All that one case gave.

    Attributes:
        id: The case's name.
        axes: Its value on each axis; empty where no file tells.
        status: As in the file, or `DAMAGED`, or `NOT_MEASURED`.
        reason: One sentence, where the status is not `OK`.
        content: The file's other fields.
        laps: By clock; empty where the status is not `OK`.
    """

    id: str
    axes: Mapping[str, Any]
    status: str
    reason: str | None
    content: Mapping[str, Any]
    laps: Mapping[str, Laps]

    @property
    def ok(self) -> bool:
        """Whether it was measured."""
        return self.status == OK

    @property
    def clock(self) -> str:
        """The clock that tells how long the work took: the device's, where it has its own."""
        return "device" if "device" in self.laps else "host"

    @cached_property
    def medians(self) -> Mapping[str, Interval]:
        """Median seconds of each phase and of the step by `clock`, with 95 % intervals."""
        return {name: median_interval(laps) for name, laps in self.laps.get(self.clock, {}).items()}

    @cached_property
    def shares(self) -> Mapping[str, float]:
        """Each phase's share of the total time of the steps by `clock`."""
        laps = self.laps.get(self.clock, {})
        return {name: _share(laps, name) for name in laps if name != STEP}

    @property
    def step(self) -> Interval:
        """The median step in seconds; NaN where it was not measured."""
        return self.medians.get(STEP, UNKNOWN)

    @cached_property
    def samples_per_s(self) -> float:
        """Samples per second over all bare blocks, or else over all lapped ones."""
        if not self.ok:
            return math.nan
        return comparison.samples_per_s(self.axes["batch_size"], self.content["blocks"])

    @property
    def lapped_per_bare(self) -> float:
        """Mean step with laps / mean step without; NaN where unknown."""
        return comparison.lapped_per_bare(self.content.get("blocks") or [])

    def fact(self, *path: str) -> Any:  # noqa: ANN401  # whatever JSON holds
        """A field of the file by its path; `None` where it is missing or `null` on the way."""
        value: Any = self.content
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def figure(self, *path: str) -> float:
        """A number of the file by its path; NaN where it is missing, `null` or no number."""
        value = self.fact(*path)
        return float(value) if isinstance(value, (int, float)) else math.nan


@dataclass(frozen=True)
class Run:
    """One invocation, as its directory tells it.

    Attributes:
        path: The directory.
        facts: `run.json`.
        measurements: Every case of the matrix, in order, measured or not.
        problems: What could not be read, a sentence each, with the remedy.
    """

    path: Path
    facts: Mapping[str, Any]
    measurements: tuple[Measurement, ...]
    problems: tuple[str, ...]

    @cached_property
    def axis_names(self) -> tuple[str, ...]:
        """The axes, in order: those of `run.json`, then any others that cases have."""
        names = dict.fromkeys(self.facts["axes"])
        for measurement in self.measurements:
            names.update(dict.fromkeys(measurement.axes))
        return tuple(names)

    @cached_property
    def phase_names(self) -> tuple[str, ...]:
        """The phases that any case has, in order, without the step."""
        found = {name for m in self.measurements for laps in m.laps.values() for name in laps}
        return (
            *(name for name in PHASES if name in found),
            *sorted(found - {*PHASES, STEP}),
        )

    @cached_property
    def speedups(self) -> Mapping[str, Interval]:
        """Speed-up over the eager twin by id, for the compiled cases whose twin was measured."""
        by_axes = {_key(m.axes): m for m in self.measurements if m.ok}
        found = {}
        for measurement in by_axes.values():
            twin_axes = comparison.eager_twin(measurement.axes)
            twin = by_axes.get(_key(twin_axes)) if twin_axes is not None else None
            if twin is not None and twin.clock == measurement.clock:
                found[measurement.id] = comparison.speedup(measurement.step, twin.step)
        return found

    @cached_property
    def cases(self) -> pd.DataFrame:
        """A row for each case: its axes, what became of it, and its figures. Seconds, bytes."""
        frame = pd.DataFrame([self._case_row(measurement) for measurement in self.measurements])
        for name in self.axis_names:  # cases that have no file have no axes
            if pd.api.types.infer_dtype(frame[name], skipna=True) == "integer":
                frame[name] = frame[name].astype("Int64")
        return frame

    def _case_row(self, measurement: Measurement) -> dict[str, Any]:
        speedup = self.speedups.get(measurement.id, UNKNOWN)
        figure, fact = measurement.figure, measurement.fact
        return {
            "id": measurement.id,
            **{name: measurement.axes.get(name) for name in self.axis_names},
            "status": measurement.status,
            "reason": measurement.reason,
            "clock": measurement.clock if measurement.ok else None,
            "steps": len(measurement.laps[measurement.clock][STEP]) if measurement.ok else 0,
            "step_s": measurement.step.value,
            "step_low_s": measurement.step.low,
            "step_high_s": measurement.step.high,
            "samples_per_s": measurement.samples_per_s,
            "speedup": speedup.value,
            "speedup_low": speedup.low,
            "speedup_high": speedup.high,
            "stopped": fact("sampling", "stopped"),
            "lapped_per_bare": measurement.lapped_per_bare,
            "elapsed_s": figure("elapsed_s"),
            "start_s": figure("start_s"),
            "loader_start_s": figure("loader_start_s"),
            "first_step_s": figure("first_step_s"),
            "warmup_s": figure("warmup", "elapsed_s"),
            "graphs": figure("compile", "graphs"),
            "graph_breaks": figure("compile", "graph_breaks"),
            "host_peak_bytes": figure("memory", "host_peak_bytes"),
            "device_peak_allocated_bytes": figure("memory", "device_peak_allocated_bytes"),
            "device_peak_reserved_bytes": figure("memory", "device_peak_reserved_bytes"),
            "data": fact("data", "name"),
            "data_origin": fact("data", "origin"),
            "parameters": figure("model", "parameters"),
        }

    @cached_property
    def samples(self) -> pd.DataFrame:
        """A row for each step of each case and clock: `index` counts steps, phases are seconds.

        A phase that a case does not have is NaN.
        """
        columns = ["case", "clock", "index", *self.phase_names, STEP]
        parts = [
            pd.DataFrame(laps).assign(case=m.id, clock=clock, index=np.arange(len(laps[STEP])))
            for m in self.measurements
            for clock, laps in m.laps.items()
        ]
        if not parts:
            return pd.DataFrame(columns=columns)
        return pd.concat(parts, ignore_index=True).reindex(columns=columns)

    @cached_property
    def phases(self) -> pd.DataFrame:
        """A row for each case, clock and phase, `step` included: what `phases.csv` holds."""
        columns = ["case", *self.axis_names, *_PHASE_FIGURES]
        rows = [
            {"case": m.id, **m.axes, **figures} for m in self.measurements for figures in _phases(m)
        ]
        return pd.DataFrame(rows, columns=columns)


_PHASE_FIGURES = (
    "phase",
    "clock",
    "n",
    "median_s",
    "low_s",
    "high_s",
    "mean_s",
    "p05_s",
    "p95_s",
    "total_s",
    "share",
    "samples_per_s",
)


def _phases(measurement: Measurement) -> Iterator[dict[str, Any]]:
    for clock, tracks in measurement.laps.items():
        for phase, laps in tracks.items():
            shown = clock == measurement.clock
            median = measurement.medians[phase] if shown else median_interval(laps)
            p05, p95 = np.quantile(laps, [0.05, 0.95])
            yield {
                "phase": phase,
                "clock": clock,
                "n": len(laps),
                "median_s": median.value,
                "low_s": median.low,
                "high_s": median.high,
                "mean_s": float(laps.mean()),
                "p05_s": float(p05),
                "p95_s": float(p95),
                "total_s": float(laps.sum()),
                "share": _share(tracks, phase),
                "samples_per_s": measurement.samples_per_s if phase == STEP else math.nan,
            }


def _share(laps: Laps, phase: str) -> float:
    total = float(laps[STEP].sum())
    return float(laps[phase].sum()) / total if total > 0 else math.nan


def _key(axes: Mapping[str, Any]) -> str:
    return json.dumps(axes, sort_keys=True, default=str)


def load(path: Path | str) -> Run:
    """Reads a run directory.

    A case whose file is damaged is named in `Run.problems`; the rest is read.

    Args:
        path: The directory that holds `run.json`.

    Raises:
        ReportError: There is no run there, its `run.json` is damaged, or a later stepbench wrote it
            in a schema that this one does not know.
    """
    path = Path(path)
    facts = _read_run(path)
    measurements, problems = [], []
    for case_id in facts["cases"]:
        try:
            measurements.append(_read_case(path / "cases" / f"{case_id}.json", case_id))
        except _DamageError as error:
            reason = f"its file cannot be used ({error}); measure it again by --resume {path}"
            measurements.append(Measurement(case_id, {}, DAMAGED, reason, {}, {}))
            problems.append(f"cases/{case_id}.json: {error}; measure it again by --resume {path}")
    return Run(path, facts, tuple(measurements), tuple(problems))


def _read_run(path: Path) -> dict[str, Any]:
    file = path / "run.json"
    try:
        facts = _parse(file)
    except FileNotFoundError:
        raise ReportError(
            f"{path}: holds no run (it has no run.json); name a run's directory, such as "
            f"results/latest, or measure one by `python -m bench`"
        ) from None
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{file}: is damaged ({error}), and with it what the run was; begin a new run"
        ) from None
    schema = facts.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise ReportError(
            f"{file}: has schema {schema}, and this stepbench reads up to {SCHEMA}; report on it "
            f"with stepbench {facts.get('stepbench', 'of the version that wrote it')} or later"
        )
    if not (
        isinstance(facts.get("axes"), dict)
        and isinstance(facts.get("cases"), list)
        and all(isinstance(case_id, str) for case_id in facts["cases"])
    ):
        raise ReportError(f"{file}: lacks `axes` or `cases`, so it is no run; begin a new run")
    return facts


def _read_case(file: Path, case_id: str) -> Measurement:
    """A case's file; a measurement without figures where there is none.

    Raises:
        _DamageError: There is one, and it cannot be used.
    """
    try:
        content = _parse(file)
    except FileNotFoundError:
        return Measurement(case_id, {}, NOT_MEASURED, None, {}, {})
    except (OSError, ValueError) as error:
        raise _DamageError(f"it is damaged: {error}") from None
    schema = content.get("schema")
    if schema != SCHEMA:
        raise _DamageError(f"its schema is {schema}, and this stepbench reads {SCHEMA}")
    axes, status = content.get("case"), content.get("status")
    if content.get("id") != case_id or not isinstance(axes, dict) or not isinstance(status, str):
        raise _DamageError("it is not this case's")
    laps = content.pop("laps", None)
    if status != OK:
        return Measurement(case_id, axes, status, content.get("reason"), content, {})
    if not isinstance(axes.get("batch_size"), int) or axes["batch_size"] < 1:
        raise _DamageError(f"its batch size is {axes.get('batch_size')}")
    _check_blocks(content.get("blocks"))
    return Measurement(case_id, axes, status, None, content, dict(_read_laps(laps)))


def _parse(file: Path) -> dict[str, Any]:
    """A file's JSON object.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON object, or has a NaN in it.
    """
    content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse)
    if not isinstance(content, dict):
        raise ValueError("it holds no object")  # noqa: TRY004  # of the file's content
    return content


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no figure")


def _check_blocks(blocks: object) -> None:
    if not isinstance(blocks, list) or not blocks:
        raise _DamageError("it has no blocks")
    for block in blocks:
        if not (
            isinstance(block, dict)
            and isinstance(block.get("kind"), str)
            and isinstance(block.get("steps"), int)
            and isinstance(block.get("elapsed_s"), (int, float))
        ):
            raise _DamageError(f"a block of it is {block}")


def _read_laps(laps: object) -> Iterator[tuple[str, Laps]]:
    """Laps by clock, each phase in its order.

    Raises:
        _DamageError: They are no finite numbers, unequally many, or lack the step.
    """
    clocks = laps if isinstance(laps, dict) else {}
    if not clocks.get("host"):
        raise _DamageError("it has no laps")
    for clock in CLOCKS:
        if clocks.get(clock) is None:
            continue
        try:
            tracks = {
                name: np.asarray(values, dtype=np.float64) for name, values in clocks[clock].items()
            }
        except (AttributeError, TypeError, ValueError) as error:
            raise _DamageError(f"its laps by the {clock} clock are no numbers") from error
        shapes = {track.shape for track in tracks.values()}
        steps = len(tracks[STEP]) if STEP in tracks and tracks[STEP].ndim == 1 else 0
        if not steps or shapes != {(steps,)}:
            raise _DamageError(
                f"its laps by the {clock} clock are unequally many, or there is none"
            )
        if not all(np.isfinite(track).all() for track in tracks.values()):
            raise _DamageError(f"its laps by the {clock} clock are not all numbers")
        order = [*(name for name in PHASES if name in tracks)]
        order += [name for name in tracks if name not in {*order, STEP}]
        yield clock, {name: tracks[name] for name in (*order, STEP)}
