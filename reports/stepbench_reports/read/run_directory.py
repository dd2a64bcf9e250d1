"""Reads and validates a run directory's files.

`docs/run-directory.md` describes the files. Unknown fields are ignored, so that runs of a later
stepbench with the same schema can be read as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from stepbench_reports.errors import ReportError
from stepbench_reports.read.measurement import (
    CLOCKS,
    DAMAGED,
    NOT_MEASURED,
    Measurement,
)
from stepbench_reports.read.numbers import Track, Tracks, number
from stepbench_reports.read.parity import Parity
from stepbench_reports.read.profile import Profile
from stepbench_reports.read.run import Run
from stepbench_reports.schema import cluster, parity
from stepbench_reports.schema import measurement as schema
from stepbench_reports.schema.cluster import HostFacts
from stepbench_reports.schema.files import (
    CASES,
    HOSTS,
    PARITY,
    PROFILES,
    REPEATS,
    RUN,
    TRAIN_PARITY,
    DamageError,
    read_measurement,
    read_record,
)
from stepbench_reports.schema.paths import nearby
from stepbench_reports.schema.phases import PHASES, STEP
from stepbench_reports.schema.results import (
    CaseRecord,
    ParityRecord,
    ProfileRecord,
    TrainingParityRecord,
)
from stepbench_reports.schema.run import RunFacts

RecordType = TypeVar("RecordType", bound=CaseRecord)


def load(path: Path | str) -> Run:
    """Reads a run directory.

    `Run.problems` names the damaged files of cases; all other files are read.

    Args:
        path: The directory that holds `run.json`.

    Raises:
        ReportError: The directory holds no run, its `run.json` is damaged, or a later stepbench
            wrote `run.json` in a schema that this version does not know.
    """
    path = Path(path)
    facts = _read_run(path)
    reader = _Reader(path)
    measurements = tuple(reader.case(case_id) for case_id in facts.cases)
    on_cluster = facts.cluster is not None
    hosts = tuple(reader.hosts()) if on_cluster else ()
    repeats = tuple(reader.repeats(frozenset(facts.cases))) if on_cluster else ()
    return Run(path, facts, measurements, tuple(reader.problems), hosts, repeats)


def read_case(file: Path, case_id: str) -> Measurement:
    """Reads a case's file; returns a measurement without figures if there is no file.

    Raises:
        DamageError: The file cannot be used.
    """
    try:
        record = read_measurement(file, schema.SCHEMA)
    except FileNotFoundError:
        return Measurement(case_id, {}, NOT_MEASURED)
    _refuse_other_case(file, record, case_id)
    findings = record.findings
    return Measurement(
        id=case_id,
        axes=record.case.values(),
        status=record.status,
        reason=record.reason,
        detail=record.detail,
        start_s=number(record.start_s),
        elapsed_s=record.elapsed_s,
        left_behind=record.left_behind,
        ended=record.ended,
        findings=findings,
        blocks=() if findings is None else findings.blocks,
        laps={} if findings is None else dict(_tracks_by_clock(findings.laps)),
        micro_laps={} if findings is None else dict(_micro_tracks(findings.micro_laps or {})),
    )


class _Reader:
    """Reads the files of a run's cases, and collects the problems in them.

    Args:
        path: The run's directory.

    Attributes:
        problems: A sentence for each damaged file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems: list[str] = []

    def case(self, case_id: str) -> Measurement:
        """Reads all files of a case; if the measurement is damaged, returns only the reason."""
        case_parity = Parity(
            judged=self._record(PARITY, case_id, ParityRecord),
            trainings=self._record(TRAIN_PARITY, case_id, TrainingParityRecord),
        )
        profile = Profile(self._record(PROFILES, case_id, ProfileRecord))
        try:
            measurement = read_case(self._path / CASES / f"{case_id}.json", case_id)
        except DamageError as error:
            self.problems.append(f"{CASES}/{case_id}.json: {self._with_remedy(error)}")
            reason = f"the case's file cannot be used: {self._with_remedy(error)}"
            return Measurement(case_id, {}, DAMAGED, reason)
        axes = (
            measurement.axes or case_parity.axes
        )  # a case may have been compared but not measured
        return replace(measurement, axes=axes, parity=case_parity, profile=profile)

    def hosts(self) -> Iterator[HostFacts]:
        """Reads the hosts of a run on a cluster, in the order of their names."""
        for file in sorted((self._path / HOSTS).glob("[!.]*.json")):
            try:
                yield read_record(file, HostFacts, cluster.SCHEMA)
            except DamageError as error:
                self.problems.append(f"{HOSTS}/{file.name}: {error.fault}")

    def repeats(self, cases: frozenset[str]) -> Iterator[Measurement]:
        """Reads the further measurements of cases, in the order of their jobs."""
        for file in sorted((self._path / REPEATS).glob("[!.]*.json")):
            case_id = file.stem.partition("-")[2]
            try:
                if case_id in cases:
                    yield read_case(file, case_id)
            except DamageError as error:
                self.problems.append(f"{REPEATS}/{file.name}: {error.fault}")

    def _record(
        self, folder: str, case_id: str, record_type: type[RecordType]
    ) -> RecordType | None:
        """Reads a case's record from `folder`; `None` if the file is missing or damaged."""
        file = self._path / folder / f"{case_id}.json"
        try:
            record = read_record(file, record_type, parity.SCHEMA)
            _refuse_other_case(file, record, case_id)
        except FileNotFoundError:
            return None
        except DamageError as error:
            self.problems.append(f"{folder}/{case_id}.json: {self._with_remedy(error)}")
            return None
        return record

    def _with_remedy(self, error: DamageError) -> str:
        """Describes a file's damage and the remedy."""
        if error.newer:
            return error.fault
        return f"{error.fault}; measure it again with --resume {self._path}"


def _read_run(path: Path) -> RunFacts:
    file = path / RUN
    try:
        return read_record(file, RunFacts, schema.SCHEMA)
    except FileNotFoundError:
        raise ReportError(f"{path}: holds no run (it has no {RUN}); {nearby(path)}") from None
    except DamageError as error:
        if error.newer:
            raise ReportError(str(error)) from None
        raise ReportError(
            f"{file}: is damaged ({error.fault}), so the run cannot be read; start a new run"
        ) from None


def _refuse_other_case(file: Path, record: CaseRecord, case_id: str) -> None:
    """Refuses a file that belongs to another case.

    Raises:
        DamageError: The record's id is not `case_id`.
    """
    if record.id != case_id:
        raise DamageError(file, f"id: is {record.id}, the id of another case")


def _tracks_by_clock(laps: schema.Laps) -> Iterator[tuple[str, Tracks]]:
    """Yields each clock with its laps as arrays: phases in the order of `PHASES`, `step` last."""
    for clock in CLOCKS:
        tracks: Mapping[str, Sequence[float]] | None = getattr(laps, clock)
        if tracks is None:
            continue
        order = [*(name for name in PHASES if name in tracks)]
        order += [name for name in tracks if name not in {*order, STEP}]
        yield clock, {name: np.asarray(tracks[name], dtype=np.float64) for name in (*order, STEP)}


def _micro_tracks(tracks: Mapping[str, Sequence[Sequence[float]]]) -> Iterator[tuple[str, Track]]:
    """Yields each phase with its micro-batches' laps, an array of shape (steps, micro-batches).

    A phase whose steps have unequal numbers of micro-batches is skipped, as these laps are optional
    detail.
    """
    for phase in PHASES:
        try:
            track = np.asarray(tracks.get(phase, ()), dtype=np.float64)
        except ValueError:
            continue
        if track.ndim == 2 and track.size:
            yield phase, track
