"""Prepares a run: starts the server, checks workloads and data, and collects the facts."""

import dataclasses
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from stepbench import machine
from stepbench.config.allocator import allocator_environment, users_allocator_environment
from stepbench.config.options import Options
from stepbench.devices.kinds import kind_of
from stepbench.errors import UsageError
from stepbench.process import start
from stepbench.process.job import Job, Outcome
from stepbench.process.server import Server
from stepbench.process.supervision import OnLeftBehind
from stepbench.runner.jobs import CaseJobs
from stepbench.runner.preload import PRELOAD, PRELOAD_COMPILE, PRELOAD_PROFILE
from stepbench_reports.schema.machine import MachinePeaks
from stepbench_reports.schema.measurement import SCHEMA
from stepbench_reports.schema.run import RunFacts, ServerFacts
from stepbench_reports.schema.status import Status

PREFLIGHT_DEADLINE_S = 1800.0
"""The deadline of preflight, seconds; it may download or generate a data set."""
MACHINE_PEAKS_DEADLINE_S = 300.0
"""The deadline of measuring peak throughput, seconds; it takes seconds for each device, once."""


def start_server(options: Options, on_left_behind: OnLeftBehind) -> Server:
    """Starts the server of a run's children; the server imports their modules in the background.

    Args:
        options: The run's options.
        on_left_behind: Called with the processes that outlived a child, and were killed.
    """
    compiles = any(case.compile != "off" for case in options.matrix.cases)
    preload = PRELOAD + (PRELOAD_COMPILE if compiles else ())
    preload += () if options.profiling is None else PRELOAD_PROFILE
    environment = allocator_environment(options.settings)
    return start.start_server(
        preload, sys.path, Path.cwd(), environment=environment, on_left_behind=on_left_behind
    )


def preflight(jobs: CaseJobs) -> dict[str, str]:
    """Checks the workloads, the data and the devices of a run before anything is measured.

    Returns:
        The devices present, and the model of each.

    Raises:
        UsageError: An option cannot be satisfied.
    """
    matrix = jobs.options.matrix
    requests = tuple(jobs.request(case) for case in matrix.cases)
    jobs.on_progress("importing torch")
    jobs.server.wait_until_ready()
    outcome = jobs.server.run(
        Job("stepbench.training.preflight:preflight", (requests,)),
        deadline_s=PREFLIGHT_DEADLINE_S,
        on_progress=jobs.on_progress,
    )
    if outcome.usage:
        raise UsageError(outcome.reason or "")
    if outcome.status is not Status.OK:
        raise UsageError(
            f"--workload {' '.join(matrix.axes['workload'])}: could not be checked: "
            f"{outcome.reason}{_output(outcome)}"
        )
    devices: dict[str, str] = outcome.result
    _refuse_useless_snapshot(jobs.options, devices)
    return devices


def _output(outcome: Outcome) -> str:
    """The end of a process's own output, on lines of its own; empty if its job raised an error."""
    ended_itself = outcome.status in {Status.CRASHED, Status.TIMEOUT}
    return f"\n{outcome.detail}" if ended_itself and outcome.detail else ""


def _refuse_useless_snapshot(options: Options, devices: Mapping[str, str]) -> None:
    """Refuses `--memory-snapshot` if no case can have a memory snapshot.

    Raises:
        UsageError: `--memory-snapshot` is given, and no case runs on CUDA.
    """
    if options.profiling is None or not options.profiling.memory_snapshot:
        return
    case_devices = dict.fromkeys(case.device for case in options.matrix.on(devices).cases)
    if not any(kind_of(device).records_allocations for device in case_devices):
        raise UsageError(
            f"--memory-snapshot: only CUDA records allocations, and --device is "
            f"{' '.join(case_devices)}; leave the option out (every trace shows memory over time)"
        )


def machine_peaks(jobs: CaseJobs, devices: tuple[str, ...]) -> dict[str, MachinePeaks]:
    """Measures the peak throughput of devices, or reads it from the cache.

    Returns:
        The peaks by device.

    Raises:
        UsageError: A device could not be measured.
    """
    outcome = jobs.server.run(
        Job(
            "stepbench.measurement.machine_peaks:machine_peaks",
            (devices, jobs.options.settings.threads),
        ),
        deadline_s=MACHINE_PEAKS_DEADLINE_S,
        on_progress=jobs.on_progress,
    )
    if outcome.status is not Status.OK:
        raise UsageError(
            f"--device {' '.join(devices)}: peak throughput could not be measured: "
            f"{outcome.reason}{_output(outcome)}"
        )
    peaks: dict[str, MachinePeaks] = outcome.result
    return peaks


def run_facts(jobs: CaseJobs, arguments: Sequence[str], devices: Mapping[str, str]) -> RunFacts:
    """Collects the facts of a run.

    Args:
        jobs: Runs jobs in children.
        arguments: The command line, without `stepbench run`.
        devices: The devices present, and the model of each.

    Raises:
        UsageError: A device's peak throughput could not be measured.
    """
    options = jobs.options
    matrix = options.matrix.on(devices)
    began_s = time.perf_counter()
    peaks = machine_peaks(jobs, tuple(matrix.axes["device"]))
    peaks_s = time.perf_counter() - began_s
    return replace(
        requested_facts(dataclasses.replace(options, matrix=matrix), jobs.directory.id, arguments),
        machine=machine.machine_facts(devices),
        machine_peaks=peaks,
        peaks_s=peaks_s,
        server=ServerFacts(import_s=jobs.server.wait_until_ready()),
    )


def requested_facts(options: Options, run_id: str, arguments: Sequence[str]) -> RunFacts:
    """The facts of a run that are known before a machine measures it.

    Args:
        options: The run's options, with real devices.
        run_id: The run's name.
        arguments: The command line, without `stepbench run`.
    """
    matrix = options.matrix
    return RunFacts(
        schema=SCHEMA,
        id=run_id,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["stepbench", "run", *arguments]),
        stepbench=machine.own_version(),
        axes=dict(matrix.axes),
        include=tuple(dict(point) for point in matrix.include),
        exclude=tuple(dict(point) for point in matrix.exclude),
        cases=tuple(case.id for case in matrix.cases),
        sampling=options.sampling,
        settings=options.settings,
        allocator_environment=users_allocator_environment(),
        parity=options.parity,
        train_parity=options.train_parity,
        profiling=options.profiling,
        cold=options.cold,
        data_dir=None if options.data_dir is None else str(options.data_dir),
        packages=machine.packages(),
    )
