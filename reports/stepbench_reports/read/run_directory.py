"""Reads a run directory's files; nothing that cannot be used gets past here.

`docs/run-directory.md` describes what is read. Whatever else the files hold is left alone, so that
runs of a later stepbench with the same schema can be reported on as well.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stepbench_reports.errors import ReportError
from stepbench_reports.read import parity, profile
from stepbench_reports.read.measurement import (
    CLOCKS,
    DAMAGED,
    NOT_MEASURED,
    Laps,
    Measurement,
    number,
)
from stepbench_reports.read.run import Run
from stepbench_reports.schema.measurement import SCHEMA
from stepbench_reports.schema.phases import PHASES, STEP
from stepbench_reports.schema.status import Status


class DamageError(Exception):
    """Why a case's file cannot be reported on."""


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
        compared = _read_parity(path, case_id)
        try:
            measurement = read_case(path / "cases" / f"{case_id}.json", case_id)
            axes = measurement.axes or compared.axes  # it may be compared and not measured
            profiled = profile.read(_read_room(path, "profiles", case_id))
            measurements.append(replace(measurement, axes=axes, parity=compared, profile=profiled))
        except DamageError as error:
            reason = f"its file cannot be used ({error}); measure it again by --resume {path}"
            measurements.append(Measurement(case_id, {}, DAMAGED, reason))
            problems.append(f"cases/{case_id}.json: {error}; measure it again by --resume {path}")
    return Run(path, facts, tuple(measurements), tuple(problems))


def _read_run(path: Path) -> dict[str, Any]:
    file = path / "run.json"
    try:
        facts = _parse(file)
    except FileNotFoundError:
        raise ReportError(
            f"{path}: holds no run (it has no run.json); name a run's directory, such as "
            f"results/latest, or measure one by `stepbench run`"
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
    if schema != SCHEMA:
        raise ReportError(
            f"{file}: has schema {schema}, and this stepbench reads {SCHEMA}; begin a new run"
        )
    if not (
        isinstance(facts.get("axes"), dict)
        and isinstance(facts.get("cases"), list)
        and all(isinstance(case_id, str) for case_id in facts["cases"])
    ):
        raise ReportError(f"{file}: lacks `axes` or `cases`, so it is no run; begin a new run")
    return facts


def read_case(file: Path, case_id: str) -> Measurement:
    """A case's file; a measurement without figures where there is none.

    Raises:
        DamageError: There is one, and it cannot be used.
    """
    try:
        content = _parse(file)
    except FileNotFoundError:
        return Measurement(case_id, {}, NOT_MEASURED)
    except (OSError, ValueError) as error:
        raise DamageError(f"it is damaged: {error}") from None
    schema = content.get("schema")
    if schema != SCHEMA:
        raise DamageError(f"its schema is {schema}, and this stepbench reads {SCHEMA}")
    axes, status = content.get("case"), content.get("status")
    if content.get("id") != case_id or not isinstance(axes, dict) or not isinstance(status, str):
        raise DamageError("it is not this case's")
    laps, micro_laps = content.pop("laps", None), content.pop("micro_laps", None)
    if status != Status.OK:
        return Measurement(case_id, axes, status, content.get("reason"), content)
    _check_count(axes.get("batch_size"), "batch size")
    _check_count(axes.get("accumulate", 1), "accumulate")
    _check_blocks(content.get("blocks"))
    return Measurement(
        case_id, axes, status, None, content, dict(_read_laps(laps)), dict(_read_micro(micro_laps))
    )


def _read_parity(path: Path, case_id: str) -> parity.Parity:
    """What is known of a case's parity."""
    return parity.read(
        _read_room(path, "parity", case_id), _read_room(path, "train-parity", case_id)
    )


def _read_room(path: Path, room: str, case_id: str) -> dict[str, Any] | None:
    """What a pass apart from measuring found of a case; a damaged file counts as none."""
    try:
        found = _parse(path / room / f"{case_id}.json")
    except (OSError, ValueError):
        return None
    return found if found.get("id") == case_id else None


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


def _check_count(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DamageError(f"its {what} is {value}")


def _check_blocks(blocks: object) -> None:
    if not isinstance(blocks, list) or not blocks:
        raise DamageError("it has no blocks")
    for block in blocks:
        if not (
            isinstance(block, dict)
            and isinstance(block.get("kind"), str)
            and isinstance(block.get("steps"), int)
            and math.isfinite(number(block.get("elapsed_s")))
        ):
            raise DamageError(f"a block of it is {block}")


def _read_laps(laps: object) -> Iterator[tuple[str, Laps]]:
    """Laps by clock, each phase in its order.

    Raises:
        DamageError: They are no finite numbers, unequally many, or lack the step.
    """
    clocks = laps if isinstance(laps, dict) else {}
    if not clocks.get("host"):
        raise DamageError("it has no laps")
    for clock in CLOCKS:
        if clocks.get(clock) is None:
            continue
        try:
            tracks = {
                name: np.asarray(values, dtype=np.float64) for name, values in clocks[clock].items()
            }
        except (AttributeError, TypeError, ValueError) as error:
            raise DamageError(f"its laps by the {clock} clock are no numbers") from error
        shapes = {track.shape for track in tracks.values()}
        steps = len(tracks[STEP]) if STEP in tracks and tracks[STEP].ndim == 1 else 0
        if not steps or shapes != {(steps,)}:
            raise DamageError(f"its laps by the {clock} clock are unequally many, or there is none")
        if not all(np.isfinite(track).all() for track in tracks.values()):
            raise DamageError(f"its laps by the {clock} clock are not all numbers")
        order = [*(name for name in PHASES if name in tracks)]
        order += [name for name in tracks if name not in {*order, STEP}]
        yield clock, {name: tracks[name] for name in (*order, STEP)}


def _read_micro(micro_laps: object) -> Iterator[tuple[str, Any]]:
    """Laps of micro-batches by phase, in order; a phase whose laps cannot be used is left out.

    They add to a case's figures, which stand without them.
    """
    tracks = micro_laps if isinstance(micro_laps, dict) else {}
    for phase in PHASES:
        try:
            track = np.asarray(tracks.get(phase), dtype=np.float64)
        except (TypeError, ValueError):
            continue
        if track.ndim == 2 and track.size and np.isfinite(track).all():
            yield phase, track
