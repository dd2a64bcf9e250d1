"""A run whose cases the nodes of a cluster measure: submits jobs, follows them, merges, reports.

This is the submitting process's side. It measures nothing and starts no server.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from msgspec import structs
from rich.console import Console

from stepbench import machine
from stepbench.cluster.engine import Engine, EngineError, Node
from stepbench.cluster.engines import make_engine
from stepbench.cluster.job_files import JobFiles
from stepbench.cluster.merge import merge_job, read_hosts, remove_job
from stepbench.config.case import Case
from stepbench.config.cluster import ClusterOptions
from stepbench.config.options import Options
from stepbench.errors import UsageError
from stepbench.results.claim import point_latest_at, reopen
from stepbench.runner import disk_space, prepare, resume
from stepbench.runner.cluster_plan import JobPlan
from stepbench.runner.cluster_spread import Spread
from stepbench.runner.progress import NO_TASKS, Task
from stepbench.runner.run import Runner
from stepbench_reports.schema.files import DamageError
from stepbench_reports.schema.parity import TrainingFacts, TrainingVerdict
from stepbench_reports.schema.paths import relative_path
from stepbench_reports.schema.results import (
    CaseRecord,
    MeasurementRecord,
    ParityRecord,
    ProfileRecord,
    TrainingParityRecord,
)
from stepbench_reports.schema.run import ClusterFacts, RunFacts
from stepbench_reports.schema.status import Status
from stepbench_reports.wording.with_noun import with_noun

RECORDS: Mapping[Task, type[CaseRecord]] = {
    Task.PARITY: ParityRecord,
    Task.TRAINING_PARITY: TrainingParityRecord,
    Task.PROFILE: ProfileRecord,
}
"""The record that each kind of task leaves."""
MAX_NAMED = 5
"""The number of nodes that the header names."""


def make_runner(options: Options, arguments: list[str], console: Console) -> Runner:
    """Makes the runner that suits the options: of this machine, or of a cluster.

    Args:
        options: The run's options.
        arguments: The command line, for the record.
        console: The terminal that shows progress.
    """
    if options.cluster is None:
        return Runner(options, arguments, console)
    return ClusterRunner(options, arguments, console, options.cluster)


class ClusterRunner(Runner):
    """Has the cases of a matrix measured on the nodes of a cluster.

    The first call that needs a result submits all jobs, and returns when all have ended.

    Args:
        options: The run's options.
        arguments: The command line, for the record.
        console: The terminal that shows progress.
        cluster: The engine and its options.
    """

    def __init__(
        self, options: Options, arguments: list[str], console: Console, cluster: ClusterOptions
    ) -> None:
        super().__init__(options, arguments, console)
        self._cluster = cluster
        self._engine: Engine | None = None
        self._nodes: tuple[Node, ...] = ()
        self._tasks: Mapping[Task, Collection[Case]] = NO_TASKS
        self._selected: tuple[Case, ...] = ()
        self._finished: dict[Case, MeasurementRecord] = {}
        self._reasons: dict[str, str] = {}
        self._has_spread = False

    # --- begin and end ---------------------------------------------------------------------------

    def claim(self) -> None:
        """Claims the run's directory.

        Raises:
            UsageError: The directory cannot be created or locked, or the run cannot be resumed.
        """
        path = self._options.resume
        if path is None:
            super().claim()
            return
        self._directory = reopen(path)
        stored = self.directory.read_run()
        if stored.cluster is None:
            self.directory.close()
            raise UsageError(
                f"--on {self._cluster.engine}: {path} was measured on one machine; resume it there "
                f"without --on, or start a new run"
            )
        adopted = resume.adopt(self._options, stored, path, measured_here=False)
        as_axis = stored.cluster.hosts_as_axis
        if self._cluster.hosts_as_axis and not as_axis:
            raise UsageError(
                f"--hosts-as-axis: {path} has spread its cases; leave the option out to resume it"
            )
        self._cluster = replace(self._cluster, hosts_as_axis=as_axis)
        self._options = replace(adopted, cluster=self._cluster)

    def open(self) -> None:
        """Reaches the engine, and stores the run's facts.

        Raises:
            UsageError: An option cannot be satisfied, or the engine cannot be reached.
        """
        options, directory = self._options, self.directory
        self.cases = options.matrix.cases
        directory_option = "--output" if options.resume is None else "--resume"
        disk_space.refuse_full_disk(options, self.cases, directory.path, directory_option)
        try:
            self._engine = make_engine(
                self._cluster, directory.path, directory.scratch, gpus=_gpus(self.cases)
            )
            self._nodes = self._engine.nodes()
            if options.resume is not None:
                self._engine.cancel()  # jobs of a process that was killed
        except EngineError as error:
            raise UsageError(str(error)) from None
        if not self._nodes:
            raise UsageError(
                f"--on {self._cluster.engine}: no node is up; look at them with `sinfo`, or name "
                f"another partition with --on-option partition=NAME"
            )
        if options.resume is None:
            directory.write_run(self._new_facts())
            if options.output is None:
                point_latest_at(directory.path)
        else:
            self._adopt()
        self.facts = directory.read_run()
        self._find_finished(self.cases)

    def _new_facts(self) -> RunFacts:
        as_axis = self._cluster.hosts_as_axis
        cluster = ClusterFacts(
            engine=self._cluster.engine,
            options=dict(self._cluster.values),
            hosts_as_axis=as_axis,
            nodes=tuple(node.name for node in self._nodes) if as_axis else (),
        )
        facts = prepare.requested_facts(self._options, self.directory.id, self._arguments)
        return structs.replace(facts, cluster=cluster)

    def _adopt(self) -> None:
        """Merges what jobs of an earlier process have left."""
        for number in self._files.requested():
            if self._files.folder(number).is_dir():
                with suppress(DamageError, FileNotFoundError):
                    merge_job(self.directory, self._files.read_request(number))
                remove_job(self.directory, number)

    def _find_finished(self, cases: Sequence[Case]) -> None:
        for case in cases:
            record = self.directory.read(MeasurementRecord, case)
            if record is not None and record.is_final and not record.is_partial:
                self._finished[case] = record

    def print_header(self) -> None:
        """Prints what will be measured, and on which nodes."""
        nodes = ", ".join(node.name for node in self._nodes[:MAX_NAMED])
        more = len(self._nodes) - MAX_NAMED
        count = with_noun(len(self._nodes), "node")
        lines = [
            f"{with_noun(len(self.cases), 'case')} on {self._cluster.engine}, {count}: {nodes}"
            + (f" and {more} more" if more > 0 else ""),
            f"stepbench {machine.own_version()}, torch {machine.packages().get('torch', '?')}",
            f"results in {relative_path(self.directory.path)}",
        ]
        if self._finished:
            lines.append(
                f"already measured: {len(self._finished)} of {with_noun(len(self.cases), 'case')}"
            )
        for line in lines:
            self._console.print(line, soft_wrap=True)
            self.directory.log(line)

    def expect(
        self, cases: Sequence[Case], tasks: Mapping[Task, Collection[Case]] = NO_TASKS
    ) -> None:
        """Sets the work to come.

        Args:
            cases: The cases that will be measured.
            tasks: The cases of each kind of task.
        """
        self._selected, self._tasks = tuple(cases), tasks

    def close(self) -> None:
        """Disconnects from the engine, and releases the directory or discards an unused one."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        super().close()

    # --- cases -----------------------------------------------------------------------------------

    def measured(self, case: Case) -> MeasurementRecord | None:
        """A case's measurement; `None` if there is none yet."""
        return self._finished.get(case)

    def measure(self, case: Case) -> MeasurementRecord:
        """A case's measurement; its status is `crashed` if the case's job did not measure it.

        Raises:
            StoreError: A measurement cannot be written.
        """
        self._spread()
        measured = self._finished.get(case)
        if measured is not None:
            return measured
        return MeasurementRecord(
            id=case.id, case=case, status=Status.CRASHED, reason=self._missing(case)
        )

    def judge(self, case: Case) -> ParityRecord:
        """The comparison of a case's tensors with the reference, which its job has made."""
        self._spread()
        return self.directory.read(ParityRecord, case) or ParityRecord(
            id=case.id,
            case=case,
            status=Status.CRASHED,
            reason=self._missing(case),
            judged_case=case.id,
        )

    def judge_training(self, case: Case) -> TrainingParityRecord:
        """The comparison of a case's trainings, which its job has made."""
        self._spread()
        options = self._options.train_parity
        if options is None:
            raise RuntimeError("only --train-parity compares trainings")
        facts = TrainingFacts(
            eager_fp32=case.eager_fp32.id, options=options, verdict=TrainingVerdict.INCONCLUSIVE
        )
        return self.directory.read(TrainingParityRecord, case) or TrainingParityRecord(
            id=case.id,
            case=case,
            status=Status.CRASHED,
            reason=self._missing(case),
            facts=facts,
        )

    def profile(self, case: Case) -> ProfileRecord:
        """The profile of a case, which its job has taken."""
        self._spread()
        return self.directory.read(ProfileRecord, case) or ProfileRecord(
            id=case.id, case=case, status=Status.CRASHED, reason=self._missing(case)
        )

    def _missing(self, case: Case) -> str:
        reason = self._reasons.get(case.id, "no job has measured the case")
        return f"{reason}; {self._resume_hint}"

    @property
    def _resume_hint(self) -> str:
        path = relative_path(self.directory.path)
        return f"measure it with --resume {path} --on {self._cluster.engine}"

    # --- jobs ------------------------------------------------------------------------------------

    def _spread(self) -> None:
        """Has all expected cases measured, at the first call."""
        if self._has_spread:
            return
        self._has_spread = True
        plan = JobPlan(self.cases, self.directory, self._facts, self._options, self._nodes)
        spread = Spread(self.directory, self._reached, plan, self._console)
        try:
            spread.run(
                [case for case in self._selected if case not in self._finished],
                {task: self._unfinished(task) for task in self._tasks},
            )
        finally:
            self._reasons = spread.reasons
            self._finished |= spread.measured
            self._store_machine()

    def _unfinished(self, task: Task) -> list[Case]:
        """The expected cases of a kind of task that an earlier process has not finished."""
        kind = RECORDS[task]
        unfinished = []
        for case in self._tasks[task]:
            record = self.directory.read(kind, case)
            if record is None or not record.is_final:
                unfinished.append(case)
        return unfinished

    def _store_machine(self) -> None:
        """Stores the machine in `run.json`, if only one node has measured cases."""
        hosts = read_hosts(self.directory.path)
        only = hosts[0] if len(hosts) == 1 else None
        self.facts = structs.replace(
            self._facts,
            machine=None if only is None else only.machine,
            machine_peaks={} if only is None else only.machine_peaks,
        )
        self.directory.write_run(self.facts)

    # --- facts -----------------------------------------------------------------------------------

    @property
    def _files(self) -> JobFiles:
        return JobFiles(self.directory.path)

    @property
    def _facts(self) -> RunFacts:
        if self.facts is None:
            raise RuntimeError("call open() first")
        return self.facts

    @property
    def _reached(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("call open() first")
        return self._engine


def _gpus(cases: Sequence[Case]) -> int:
    """The number of GPUs that a node needs for the cases: 1 if any runs on one."""
    kinds = {case.device.partition(":") for case in cases if case.device != "cpu"}
    return max((int(index or 0) + 1 for _, _, index in kinds), default=0)
