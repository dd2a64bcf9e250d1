"""Reads pytest-benchmark's JSON from other projects as a run.

Each benchmark becomes a case, and each of the benchmark's rounds a step of one sample. Samples/s
are therefore rounds per second.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stepbench_reports.errors import ReportError
from stepbench_reports.read.measurement import Measurement
from stepbench_reports.read.run import Run
from stepbench_reports.schema.axes import AxisValues
from stepbench_reports.schema.machine import MachineFacts
from stepbench_reports.schema.measurement import SCHEMA, Block
from stepbench_reports.schema.phases import STEP
from stepbench_reports.schema.run import RunFacts
from stepbench_reports.schema.status import Status
from stepbench_reports.schema.text import encodable

NO_ROUNDS = "no rounds"
"""The status of a benchmark whose file holds a summary without the rounds."""


def load(file: Path) -> Run:
    """Reads a JSON file of pytest-benchmark as a run.

    Raises:
        ReportError: The file cannot be read, or is not pytest-benchmark's.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = content["benchmarks"]
        measurements = tuple(_measurement(entry) for entry in entries)
    except OSError as error:
        raise ReportError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReportError(
            f"{file}: is not a file of pytest-benchmark ({error!r}); give a file written by "
            f"--benchmark-json or --benchmark-save"
        ) from None
    machine = content.get("machine_info") or {}
    facts = RunFacts(
        schema=SCHEMA,
        id=encodable(file.stem),
        started=str(content.get("datetime") or ""),
        command="",
        stepbench="",
        axes={"workload": (), "batch_size": ()},
        cases=tuple(m.id for m in measurements),
        machine=MachineFacts(
            cpu=str((machine.get("cpu") or {}).get("brand_raw") or ""),
            usable_cores=0,
            memory_bytes=0,
            system=" ".join(filter(None, (machine.get("system"), machine.get("release")))),
            python=str(machine.get("python_version") or ""),
        ),
    )
    return Run(file, facts, measurements, ())


def _measurement(entry: Mapping[str, Any]) -> Measurement:
    name = encodable(str(entry["fullname"]))
    axes = _axes(name)
    rounds = np.asarray(entry["stats"].get("data") or (), dtype=np.float64)
    if not rounds.size:
        reason = "the file holds only a summary; save it with --benchmark-save-data"
        return Measurement(name, axes, NO_ROUNDS, reason)
    return Measurement(
        name,
        axes,
        Status.OK.value,
        blocks=tuple(Block(kind="bare", steps=1, elapsed_s=float(seconds)) for seconds in rounds),
        laps={"host": {"round": rounds, STEP: rounds}},
    )


def _axes(name: str) -> AxisValues:
    """The axes of a benchmark; the batch size is 1, as a round counts as one sample."""
    return {"workload": name, "batch_size": 1}
