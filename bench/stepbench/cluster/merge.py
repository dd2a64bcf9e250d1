"""Merges the results of a job into the directory of its run."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from stepbench.cluster.job_files import JobFiles
from stepbench.results.run_directory import FOLDERS, TENSORBOARD, TRACES, RunDirectory
from stepbench.results.writing import StoreError, store_errors
from stepbench_reports.schema import cluster, measurement, parity
from stepbench_reports.schema.cluster import HostFacts, JobRequest, JobStart
from stepbench_reports.schema.files import (
    HOSTS,
    REPEATS,
    RUN,
    DamageError,
    read_measurement,
    read_record,
    write_record,
)
from stepbench_reports.schema.results import CaseRecord, MeasurementRecord
from stepbench_reports.schema.run import RunFacts

GROUPS_PER_JOB = 1000
"""The numbers of groups that a job may use, so that no two jobs have a group of one number."""
SNAPSHOTS = "snapshots"
RecordType = TypeVar("RecordType", bound=CaseRecord)


@dataclass
class Merged:
    """The results of a job that are in the run directory now.

    Attributes:
        measured: The ids of the cases that were measured to the end.
        damaged: A sentence for each file of the job that could not be read.
    """

    measured: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def merge_job(directory: RunDirectory, request: JobRequest) -> Merged:
    """Moves what a job has measured into the run directory, with the node's name.

    What is there already stays, unless it is of an earlier try. The job's own directory is kept.

    Args:
        directory: The run's directory.
        request: The job.

    Raises:
        StoreError: A file cannot be written.
    """
    files = JobFiles(directory.path)
    folder, start = files.folder(request.number), files.read_start(request.number)
    merged = Merged()
    if start is None or not (folder / RUN).is_file():
        return merged
    has_measured = False
    for kind in FOLDERS:
        for record in _records(folder, kind, merged):
            if record.id not in request.run.cases:
                continue
            if isinstance(record, MeasurementRecord):
                has_measured = True
                _keep(directory, request, _of_host(record, start.node, request.number))
                if not record.is_partial:
                    merged.measured.append(record.id)
            elif record.id not in request.repeats:
                directory.write(record)
    for name in (TRACES, TENSORBOARD, SNAPSHOTS):
        _move(folder / name, directory.path / name)
    if has_measured:
        _write_host(directory.path, start, folder / RUN, merged)
    return merged


def remove_job(directory: RunDirectory, number: int) -> None:
    """Removes the directory of a job whose results are merged."""
    shutil.rmtree(JobFiles(directory.path).folder(number), ignore_errors=True)


def _write_host(run: Path, start: JobStart, job_run: Path, merged: Merged) -> None:
    """Writes the facts of the node, those of its latest job."""
    try:
        facts = read_record(job_run, RunFacts, measurement.SCHEMA)
    except DamageError as damage:
        merged.damaged.append(str(damage))
        return
    if facts.machine is None:
        return
    file = run / HOSTS / f"{start.node}.json"
    host = HostFacts(
        name=start.node,
        host=start.host,
        node_id=start.node_id,
        machine=replace(facts.machine, host=start.host),
        machine_peaks=facts.machine_peaks,
        packages=facts.packages,
    )
    with store_errors(file):
        write_record(file, host)


def _records(folder: Path, kind: type[CaseRecord], merged: Merged) -> Iterator[CaseRecord]:
    """The readable records of a kind that a job has written."""
    for file in sorted((folder / FOLDERS[kind]).glob("*.json")):
        if file.name.startswith("."):  # not whole
            continue
        try:
            if issubclass(kind, MeasurementRecord):
                yield read_measurement(file, measurement.SCHEMA)
            else:
                yield read_record(file, kind, parity.SCHEMA)
        except DamageError as damage:
            merged.damaged.append(str(damage))
        except FileNotFoundError:
            continue


def _of_host(record: MeasurementRecord, node: str, job: int) -> MeasurementRecord:
    """A measurement with its node, and with groups that no other job has."""
    findings = record.findings
    if findings is None:
        return record
    first = job * GROUPS_PER_JOB
    turns = tuple(replace(turn, group=first + turn.group) for turn in findings.turns)
    return replace(record, findings=replace(findings, host=node, turns=turns))


def _keep(directory: RunDirectory, request: JobRequest, record: MeasurementRecord) -> None:
    """Writes a measurement as the case's, or as a repeated one."""
    if record.id in request.repeats:
        if not record.is_partial:
            file = directory.path / REPEATS / f"{request.number:04}-{record.id}.json"
            with store_errors(file):
                write_record(file, record)
        return
    if record.is_partial:
        try:
            earlier = read_measurement(
                directory.path / FOLDERS[MeasurementRecord] / f"{record.id}.json",
                measurement.SCHEMA,
            )
        except (FileNotFoundError, DamageError):
            earlier = None
        if earlier is not None and earlier.is_final and not earlier.is_partial:
            return
    directory.write(record)


def _move(source: Path, target: Path) -> None:
    """Moves all files of a directory into another one, which keeps what it has."""
    if not source.is_dir():
        return
    try:
        for file in sorted(source.rglob("*")):
            place = target / file.relative_to(source)
            if file.is_file() and not file.is_symlink() and not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(file, place)
    except OSError as error:
        raise StoreError(
            f"{target}: cannot be written ({error.strerror}); free disk space, then resume with "
            f"--resume"
        ) from error


def read_hosts(run: Path) -> tuple[HostFacts, ...]:
    """The nodes that have measured cases of a run, by name; those with a damaged file are left out.

    Args:
        run: The run's directory.
    """
    hosts = []
    for file in sorted((run / HOSTS).glob("[!.]*.json")):
        try:
            hosts.append(read_record(file, HostFacts, cluster.SCHEMA))
        except (FileNotFoundError, DamageError):
            continue
    return tuple(hosts)
