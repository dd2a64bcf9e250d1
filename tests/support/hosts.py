"""Builds runs that were spread over hosts, with constant or generated laps."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from support import synthetic

AXES: dict[str, Any] = {name: values[0] for name, values in synthetic.AXES.items()}
GENERATIONS = 6


def case(
    host: str, job: int, step_s: float, *, noise: float = 0.0, seed: int = 0, **axes: Any
) -> dict[str, Any]:
    """A case's file: its job's only group has some generations, each with a bare turn.

    Args:
        host: The host that measured the case.
        job: The number of the job, which is that of the group.
        step_s: The mean step, seconds.
        noise: The standard deviation of a generation's log step.
        seed: The seed of the noise.
        axes: The case's values on some axes.
    """
    laps = {"forward": [step_s / 2] * 20, "backward": [step_s / 2] * 20, "step": [step_s] * 20}
    file = synthetic.case_file({**AXES, **axes}, laps)
    steps_s = step_s * np.exp(noise * np.random.default_rng(seed).standard_normal(GENERATIONS))
    turns = synthetic.turns(synthetic.bare([float(s) for s in steps_s]))
    lapped = [turn for turn in copy.deepcopy(file["turns"]) if turn["kind"] == "lapped"]
    file["turns"] = [{**turn, "group": job} for turn in (*lapped, *turns)]
    file["host"] = host
    return file


def host_facts(name: str, **machine: Any) -> dict[str, Any]:
    facts = synthetic.run_facts(synthetic.AXES, [])
    return {
        "schema": 1, "name": name, "host": f"{name}.test", "machine": {**facts["machine"],
        **machine}, "machine_peaks": facts["machine_peaks"], "packages": facts["packages"],
    }  # fmt: skip


def write(
    path: Path,
    files: Sequence[Mapping[str, Any]],
    repeats: Sequence[tuple[int, Mapping[str, Any]]],
    hosts: Sequence[Mapping[str, Any]],
    *,
    hosts_as_axis: bool = False,
) -> Path:
    """Writes a run on several hosts.

    Args:
        path: The run's directory.
        files: The cases' files.
        repeats: The number of a job, and the file of a case that it has measured as well.
        hosts: The files of hosts.
        hosts_as_axis: True if all cases were to be measured on each host.
    """
    cluster = {
        "engine": "slurm", "options": {"gres": "gpu:1"}, "hosts_as_axis": hosts_as_axis
    }  # fmt: skip
    changed: dict[str, Any] = {}
    if len(hosts) > 1:
        changed = {"machine": None, "machine_peaks": {}}
    synthetic.write_run(path, files, cluster=cluster, **changed)
    for folder, named in (
        ("hosts", {host["name"]: host for host in hosts}),
        ("repeats", {f"{job:04}-{file['id']}": file for job, file in repeats}),
    ):
        (path / folder).mkdir()
        for name, content in named.items():
            (path / folder / f"{name}.json").write_text(json.dumps(content))
    return path
