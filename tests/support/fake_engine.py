"""An engine that runs nothing: it writes the files that jobs would write, or fails as told."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from stepbench import machine
from stepbench.cluster.engine import EngineError, JobPhase, JobSpec, JobState, Node
from stepbench.cluster.job_files import JobFiles
from stepbench_reports.schema.cluster import JobEnding, JobRequest, JobStart
from stepbench_reports.schema.files import write_record
from support import synthetic

NODES = (Node("n1", "id-1"), Node("n2", "id-2"))
DONE = JobState(JobPhase.ENDED)


def case_content(request: JobRequest, name: str, step_s: float = 0.01) -> dict[str, Any]:
    """The file of a case of a request, whose steps all take as long."""
    points = [{key: values[0] for key, values in request.run.axes.items()}, *request.run.include]
    (axes,) = (point for point in points if synthetic.case_id(point) == name)
    laps = {"forward": [step_s / 2] * 8, "backward": [step_s / 2] * 8, "step": [step_s] * 8}
    return synthetic.case_file(axes, laps)


def perform(
    files: JobFiles, number: int, node: Node, *, step_s: float = 0.01, cases: int | None = None
) -> None:
    """Writes what a job writes: its start, its run, and its first cases; all of them by default."""
    request = files.read_request(number)
    began = datetime.now(UTC)
    files.write_start(
        number, JobStart(node=node.name, node_id=node.id, host=f"{node.name}.test", began=began)
    )
    folder = files.folder(number)
    (folder / "cases").mkdir(parents=True)
    write_record(folder / "run.json", replace(request.run, machine=machine.machine_facts({})))
    for name in request.measured[:cases]:
        content = case_content(request, name, step_s)
        (folder / "cases" / f"{name}.json").write_text(json.dumps(content))
    for name in request.parity[:cases]:
        axes = case_content(request, name)["case"]
        (folder / "parity").mkdir(exist_ok=True)
        content = synthetic.parity_file(axes, "pass")
        (folder / "parity" / f"{name}.json").write_text(json.dumps(content))


class FakeEngine:
    """Runs one job on each node between two looks.

    Args:
        run: The run's directory.
        failures: For some jobs: called with the files, the number and the node instead of
            measuring; returns the job's state.
        nodes: The nodes.
    """

    name = "fake"

    def __init__(
        self,
        run: Path,
        failures: Mapping[int, Callable[[JobFiles, int, Node], JobState]] | None = None,
        nodes: Sequence[Node] = NODES,
    ) -> None:
        self._files, self._nodes = JobFiles(run), tuple(nodes)
        self._failures = failures or {}
        self.queue: list[JobSpec] = []
        self.ended: dict[int, JobState] = {}
        self.cancelled = False
        self.unreachable = False

    def nodes(self) -> tuple[Node, ...]:
        return self._nodes

    def submit(self, jobs: Sequence[JobSpec]) -> None:
        self.queue += jobs

    def states(self) -> Mapping[int, JobState]:
        if self.unreachable:
            raise EngineError("--on fake: nobody answers")
        for node in self._nodes:
            job = next((job for job in self.queue if job.node in {None, node}), None)
            if job is not None:
                self.queue.remove(job)
                self.ended[job.number] = self._perform(job.number, node)
        return {**self.ended, **{job.number: JobState(JobPhase.QUEUED) for job in self.queue}}

    def _perform(self, number: int, node: Node) -> JobState:
        if number in self._failures:
            return self._failures[number](self._files, number, node)
        perform(self._files, number, node)
        self._files.write_outcome(number, JobEnding.DONE)
        return DONE

    def cancel(self) -> None:
        self.cancelled = True
        self.queue.clear()

    def close(self) -> None: ...
