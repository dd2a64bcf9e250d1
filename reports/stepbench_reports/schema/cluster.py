"""The records of a run that was spread over the nodes of a cluster.

| file | record |
| --- | --- |
| `hosts/<name>.json` | `HostFacts` |
| `jobs/<number>.json` | `JobRequest` |
| `jobs/<number>.start.json` | `JobStart` |
| `jobs/<number>.outcome.json` | `JobOutcome` |
| `repeats/<number>-<case id>.json` | `MeasurementRecord` |
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from stepbench_reports.schema.machine import MachineFacts, MachinePeaks, Packages
from stepbench_reports.schema.names import CaseId
from stepbench_reports.schema.record import Bytes, Moment, Positive, Record
from stepbench_reports.schema.run import RunFacts

SCHEMA = 1
"""The version of the records of hosts and jobs."""

HostName = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,119}\Z", description="host name")
]
"""The name of a node in the files and reports of a run."""


class HostFacts(Record, frozen=True, kw_only=True):
    """`hosts/<name>.json`: a node that measured cases of the run.

    Attributes:
        schema: The version of the record.
        name: The node's name, unique in the run.
        host: The host name of the machine; two nodes may share one.
        node_id: The id that the engine has given the node; `None` if it has none but the name.
        machine: The node's hardware and system.
        machine_peaks: The node's peak throughput, by device.
        packages: Versions of the installed packages that affect the measurements, by name.
    """

    schema: int = SCHEMA
    name: HostName
    host: str
    node_id: str | None = None
    machine: MachineFacts
    machine_peaks: dict[str, MachinePeaks] = field(default_factory=dict)
    packages: Packages = field(default_factory=dict)


class JobRequest(Record, frozen=True, kw_only=True):
    """`jobs/<number>.json`: the cases that one job measures on one node.

    The job has the directory `jobs/<number>/` until its results are merged, with the files of a
    run.

    Attributes:
        schema: The version of the record.
        number: The job's number in the run.
        directory: The working directory of the job, an absolute path.
        node: The name of the node that the job has to run on; `None` for any node.
        run: The job's cases and their options, as those of a run.
        measured: The cases that are measured; the others were measured by an earlier job.
        repeats: The cases that other jobs measure as well; their measurements are kept in
            `repeats/`.
        parity: The cases whose tensors are compared.
        train_parity: The cases whose trainings are compared.
        profiles: The cases that are profiled.
        download: True if the published data set may be downloaded.
        memory_limit_bytes: The host memory that a case's processes may use together; `None` for no
            limit.
    """

    schema: int = SCHEMA
    number: Positive
    directory: str
    node: HostName | None = None
    run: RunFacts
    measured: tuple[CaseId, ...]
    repeats: tuple[CaseId, ...] = ()
    parity: tuple[CaseId, ...] = ()
    train_parity: tuple[CaseId, ...] = ()
    profiles: tuple[CaseId, ...] = ()
    download: bool = False
    memory_limit_bytes: Bytes | None = None


class JobStart(Record, frozen=True, kw_only=True):
    """`jobs/<number>.start.json`: the node on which a job runs, written by the job.

    Attributes:
        schema: The version of the record.
        node: The node's name.
        node_id: The id that the engine has given the node; `None` if it has none but the name.
        host: The host name of the machine.
        began: The time at which the job began, UTC.
    """

    schema: int = SCHEMA
    node: HostName
    node_id: str | None = None
    host: str
    began: Moment


class JobEnding(StrEnum):
    """The way in which a job ended."""

    DONE = "done"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class JobOutcome(Record, frozen=True, kw_only=True):
    """`jobs/<number>.outcome.json`: the end of a job, written by the job; missing if it was lost.

    Attributes:
        schema: The version of the record.
        ending: `done`; `refused` before anything was measured; `interrupted` by a signal, such as
            at a time limit; or `failed`.
        reason: The reason and the remedy in one sentence; `None` if the job is done.
        ended: The time at which the job ended, UTC.
    """

    schema: int = SCHEMA
    ending: JobEnding
    reason: str | None = None
    ended: Moment
