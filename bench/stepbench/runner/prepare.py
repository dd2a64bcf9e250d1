"""Prepares a run: starts the server, tries workloads and data, and collects the run's facts."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from stepbench import machine
from stepbench.config.options import Options
from stepbench.config.requests import ParityOptions, ProfilingOptions, TrainParityOptions
from stepbench.devices.kinds import kind_of
from stepbench.errors import UsageError
from stepbench.process import start
from stepbench.process.job import Job
from stepbench.process.server import Server
from stepbench.runner.jobs import CaseJobs
from stepbench.runner.preload import PRELOAD, PRELOAD_COMPILE, PRELOAD_PROFILE
from stepbench_reports.schema.status import Status

PREFLIGHT_DEADLINE_S = 1800.0
"""Preflight may download or generate a data set."""
MACHINE_PEAKS_DEADLINE_S = 300.0
"""Measuring peak throughput takes seconds for each device, once."""


def start_server(options: Options) -> Server:
    """Starts the server that a run's children come from; it imports what they need meanwhile."""
    compiles = any(case.compile != "off" for case in options.matrix.cases)
    preload = PRELOAD + (PRELOAD_COMPILE if compiles else ())
    preload += () if options.profiling is None else PRELOAD_PROFILE
    return start.start_server(preload, sys.path, Path.cwd())


def preflight(jobs: CaseJobs) -> dict[str, str]:
    """Tries the workloads, the data and the devices of a run before anything is measured.

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
            f"--workload {' '.join(matrix.axes['workload'])}: could not be tried: "
            f"{outcome.reason}\n{outcome.detail or ''}"
        )
    devices: dict[str, str] = outcome.result
    refuse_useless_snapshot(jobs.options, devices)
    return devices


def refuse_useless_snapshot(options: Options, devices: Mapping[str, str]) -> None:
    """Refuses a memory snapshot that no case could have.

    Raises:
        UsageError: `--memory-snapshot` is given, and no case runs on CUDA.
    """
    if options.profiling is None or not options.profiling.memory_snapshot:
        return
    used = dict.fromkeys(case.device for case in options.matrix.on(devices).cases)
    if not any(kind_of(device).records_allocations for device in used):
        raise UsageError(
            f"--memory-snapshot: only CUDA records its allocations, and --device is "
            f"{' '.join(used)}; leave it out: every trace has the memory's curve"
        )


def machine_peaks(jobs: CaseJobs, devices: tuple[str, ...]) -> dict[str, Any]:
    """Measures the peak throughput of devices, or reads it from the cache.

    Returns:
        The peaks by device, for `run.json`.

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
            f"--device {' '.join(devices)}: its peak throughput could not be measured: "
            f"{outcome.reason}\n{outcome.detail or ''}"
        )
    peaks: dict[str, Any] = outcome.result
    return peaks


def run_facts(
    jobs: CaseJobs, arguments: Sequence[str], devices: Mapping[str, str]
) -> dict[str, Any]:
    """Collects the content of `run.json`.

    Args:
        jobs: Runs jobs in children.
        arguments: The command line, without `stepbench run`.
        devices: The devices present, and the model of each.

    Raises:
        UsageError: A device's peak throughput could not be measured.
    """
    options = jobs.options
    matrix = options.matrix.on(devices)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["stepbench", "run", *arguments]),
        "stepbench": metadata.version("stepbench"),
        "axes": dict(matrix.axes),
        "include": list(matrix.include),
        "exclude": list(matrix.exclude),
        "cases": [case.id for case in matrix.cases],
        "sampling": {**asdict(options.sampling), "deadline_s": options.deadline_s},
        "settings": asdict(options.settings),
        "parity": _fields(options.parity),
        "train_parity": _fields(options.train_parity),
        "profiling": _fields(options.profiling),
        "cold": options.cold,
        "data_dir": None if options.data_dir is None else str(options.data_dir),
        "machine": {**machine.machine(), "devices": dict(devices)},
        "ceilings": machine_peaks(jobs, tuple(matrix.axes["device"])),
        "packages": machine.packages(),
        "server": {"import_s": jobs.server.wait_until_ready()},
    }


def _fields(
    options: ParityOptions | TrainParityOptions | ProfilingOptions | None,
) -> dict[str, Any] | None:
    """The fields of a pass's options; `None` where the pass is not run."""
    return None if options is None else asdict(options)
