"""The jobs of a run on a cluster: which cases each measures, and the command that does."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from stepbench.cluster.engine import JobSpec, Node
from stepbench.cluster.job_files import JobFiles
from stepbench.cluster.plan import plan
from stepbench.config.case import Case
from stepbench.config.matrix import Matrix
from stepbench.config.options import Options
from stepbench.results.run_directory import RunDirectory
from stepbench.runner.measuring import link_case
from stepbench.runner.progress import Task
from stepbench_reports.schema.cluster import JobRequest
from stepbench_reports.schema.files import REPEATS
from stepbench_reports.schema.names import file_name
from stepbench_reports.schema.run import RunFacts


@dataclass(frozen=True)
class JobPlan:
    """Makes the jobs of a run.

    Attributes:
        cases: All cases of the run. The first eager one is the reference case, which every job
            measures as well.
        directory: The run's directory.
        facts: The run's facts.
        options: The run's options.
        nodes: The nodes that are up.
    """

    cases: tuple[Case, ...]
    directory: RunDirectory
    facts: RunFacts
    options: Options
    nodes: tuple[Node, ...]

    def requests(
        self, missing: Sequence[Case], tasks: Mapping[Task, Sequence[Case]], first: int
    ) -> list[JobRequest]:
        """Makes the requests of all jobs.

        Args:
            missing: The cases that are to be measured.
            tasks: The cases of each kind of task that is left.
            first: The number of the first job.
        """
        wanted = dict.fromkeys(
            [*missing, *(case for of_task in tasks.values() for case in of_task)]
        )
        cases = [case for case in self.cases if case in wanted]
        ids = {task: frozenset(case.id for case in of_task) for task, of_task in tasks.items()}
        requests: list[JobRequest] = []
        for node, of_node, measured in self._parts(cases, missing):
            for job in plan(of_node, 1 if node is not None else len(self.nodes)):
                number = first + len(requests)
                requests.append(self._request(number, node, job, measured, ids))
        return requests

    def _parts(
        self, cases: Sequence[Case], missing: Sequence[Case]
    ) -> Iterator[tuple[str | None, Sequence[Case], frozenset[Case]]]:
        """The cases for each node, with those to measure; a single part for any node."""
        cluster = self.facts.cluster
        if cluster is None or not cluster.hosts_as_axis:
            yield None, cases, frozenset(missing)
            return
        up = {node.name for node in self.nodes}
        repeated = self._repeated()
        for index, name in enumerate(cluster.nodes):
            if name not in up:
                continue
            if index == 0:
                yield name, cases, frozenset(missing)
                continue
            left = [case for case in self.cases if (name, case.id) not in repeated]
            yield name, left, frozenset(left)

    def _repeated(self) -> set[tuple[str, str]]:
        """The nodes and ids of the cases that are in `repeats/`."""
        files = JobFiles(self.directory.path)
        found = set()
        for file in (self.directory.path / REPEATS).glob("[!.]*.json"):
            number, _, name = file.stem.partition("-")
            start = files.read_start(int(number)) if number.isdecimal() else None
            if start is not None:
                found.add((start.node, name))
        return found

    def _request(
        self,
        number: int,
        node: str | None,
        job: Sequence[Case],
        measured: frozenset[Case],
        tasks: Mapping[Task, frozenset[str]],
    ) -> JobRequest:
        reference = link_case(self.cases)
        to_measure = [case for case in job if case in measured]
        # A profile shows a case's figures, which its job has to measure.
        profiled = _among(job, tasks.get(Task.PROFILE, frozenset()))
        to_measure += [case for case in job if case.id in profiled and case not in measured]
        is_first = node is None or node == self._first_node
        added = (
            [] if reference is None or reference in to_measure or not to_measure else [reference]
        )
        cases = list(dict.fromkeys([*added, *job]))
        repeats = [case.id for case in (added if is_first else cases)]
        return JobRequest(
            number=number,
            directory=str(Path.cwd()),
            node=None if node is None else file_name(node),
            run=self._facts_of(number, cases),
            measured=tuple(case.id for case in cases if case in {*added, *to_measure}),
            repeats=tuple(repeats),
            parity=_among(job, tasks.get(Task.PARITY, frozenset())) if is_first else (),
            train_parity=(
                _among(job, tasks.get(Task.TRAINING_PARITY, frozenset())) if is_first else ()
            ),
            profiles=profiled if is_first else (),
            download=self.options.download,
            memory_limit_bytes=self.options.memory_limit_bytes,
        )

    @property
    def _first_node(self) -> str | None:
        cluster = self.facts.cluster
        return None if cluster is None or not cluster.nodes else cluster.nodes[0]

    def _facts_of(self, number: int, cases: Sequence[Case]) -> RunFacts:
        """The facts of a job's own run: those of the whole run, with the job's cases alone."""
        matrix = Matrix.of(cases)
        return replace(
            self.facts,
            id=f"{self.facts.id}-{number:04}",
            axes=dict(matrix.axes),
            include=tuple(dict(point) for point in matrix.include),
            exclude=(),
            cases=tuple(case.id for case in cases),
            sampling=self.options.sampling,
            machine=None,
            machine_peaks={},
            cluster=None,
        )

    def specs(self, requests: Sequence[JobRequest]) -> list[JobSpec]:
        """The commands that measure requested cases."""
        files = JobFiles(self.directory.path)
        by_name = {file_name(node.name): node for node in self.nodes}
        return [
            JobSpec(
                number=request.number,
                command=(
                    *(sys.executable, "-m", "stepbench", "job"),
                    str(files.request_file(request.number).absolute()),
                ),
                directory=Path(request.directory),
                log=files.log(request.number).absolute(),
                node=None if request.node is None else by_name[request.node],
            )
            for request in requests
        ]


def _among(job: Sequence[Case], ids: frozenset[str]) -> tuple[str, ...]:
    """The ids of a job's cases that are among some ids, in the job's order."""
    return tuple(case.id for case in job if case.id in ids)
