"""Runs on a cluster with a fake engine, whose jobs measure nothing, and fail as planted."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import stepbench_reports
from stepbench.cluster import dispatch
from stepbench.cluster.engine import EngineError, JobPhase, JobState, Node
from stepbench.cluster.job_files import JobFiles
from stepbench.cluster.merge import Merged, merge_job
from stepbench.config import options
from stepbench.errors import UsageError
from stepbench.results.writing import StoreError
from stepbench.runner import cluster_run, cluster_spread
from stepbench.runner.cluster_run import ClusterRunner, make_runner
from stepbench.runner.progress import Task
from stepbench.runner.run import Runner
from stepbench_reports.schema.cluster import JobEnding
from stepbench_reports.schema.parity import ParityVerdict
from stepbench_reports.schema.status import Status
from support.fake_engine import NODES, FakeEngine, perform

Failure = Callable[[JobFiles, int, Node], JobState]
WORDS = {"device": ["cpu"], "num_workers": ["0"], "compile": ["off"], "on": "local"}


class Session:
    """Runs in a directory, each with a fake engine."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "run"
        self._directory = directory
        self._monkeypatch = monkeypatch
        self.engine = FakeEngine(self.path)
        self.output = io.StringIO()
        self.opened: list[Runner] = []

    def open(self, failures: Mapping[int, Failure] | None = None, **given: Any) -> Runner:
        """A run of four batch sizes; with `resume=True` the same run again."""
        self.engine = FakeEngine(self.path, failures)
        self._monkeypatch.setattr(cluster_run, "make_engine", lambda *_, **__: self.engine)
        if given.pop("resume", False):
            words = {"on": "local", "resume": str(self.path), **given}
        else:
            sizes = ["1", "2", "4", "8"]
            words = {**WORDS, "batch_size": sizes, "output": str(self.path), **given}
        read = options.read({f"stepbench_{key}": w for key, w in words.items()}, self._directory)
        self.output = io.StringIO()
        run = make_runner(read, [], Console(file=self.output, width=500))
        self.opened.append(run)
        run.claim()
        run.open()
        run.print_header()
        run.expect(run.cases, {Task.PARITY: run.cases})
        return run

    def measure(self, failures: Mapping[int, Failure] | None = None, **given: Any) -> list[Status]:
        """Measures all cases, and returns their statuses."""
        run = self.open(failures, **given)
        try:
            return [run.measure(case).status for case in run.cases]
        finally:
            run.close()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(dispatch, "MIN_POLL_S", 0.0)
    monkeypatch.setattr(dispatch, "GRACE_S", 0.0)
    made = Session(tmp_path, monkeypatch)
    yield made
    for run in made.opened:
        run.close()


OK = [Status.OK] * 4


def test_all_cases_are_measured_and_merged_with_their_hosts(session: Session) -> None:
    run = session.open()
    records = [run.measure(case) for case in run.cases]
    hosts = [record.findings.host for record in records if record.findings is not None]
    assert hosts == ["n1", "n1", "n2", "n2"]
    judged = run.judge(run.cases[0]).judgement
    assert judged is not None
    assert judged.verdict is ParityVerdict.PASS
    text = session.output.getvalue()
    assert "4 cases on local, 2 nodes: n1, n2" in text
    assert "2 jobs submitted to fake" in text
    assert "[2/2] job 2 on n2: done, 3 cases measured" in text
    run.close()
    read = stepbench_reports.load(session.path)
    assert [host.name for host in read.hosts] == ["n1", "n2"]
    assert [(m.id, m.host) for m in read.repeats] == [(run.cases[0].id, "n2")]
    assert not list(session.path.glob("jobs/*/run.json"))
    assert read.facts.machine is None


def test_no_two_jobs_share_a_group(session: Session) -> None:
    session.measure()
    read = stepbench_reports.load(session.path)
    groups = {
        (m.host, turn.group)
        for m in (*read.measured, *read.repeats)
        for turn in m.turns.taken
    }  # fmt: skip
    assert groups == {("n1", 1000), ("n2", 2000)}
    a, b = read.measured[1], read.measured[3]
    assert (a.host, b.host) == ("n1", "n2")
    assert read.ratio_of(a, b).paired  # through the reference case


def test_one_host_is_the_machine_of_the_run(session: Session) -> None:
    session.engine = FakeEngine(session.path)
    run = session.open()
    session.engine._nodes = NODES[:1]
    for case in run.cases:
        run.measure(case)
    assert run.facts is not None
    assert run.facts.machine is not None
    assert run.facts.machine.host == "n1.test"


def _node_fails(files: JobFiles, number: int, node: Node) -> JobState:
    perform(files, number, node, cases=2)  # the reference case and one of two others
    return JobState(JobPhase.ENDED, node.name, "lost its node")


def test_a_lost_job_keeps_what_it_measured_and_the_rest_is_named_and_resumed(
    session: Session,
) -> None:
    statuses = session.measure({2: _node_fails})
    assert statuses == [Status.OK, Status.OK, Status.OK, Status.CRASHED]
    text = session.output.getvalue()
    missing = session.opened[0].cases[3]
    assert f"job 2 on n2 lost its node. Not measured: {missing.id}" in text
    assert not (session.path / "cases" / f"{missing.id}.json").exists()
    before = {file: file.read_bytes() for file in (session.path / "cases").glob("*.json")}

    assert session.measure(resume=True) == OK
    assert "already measured: 3 of 4 cases" in session.output.getvalue()
    assert {file: file.read_bytes() for file in before} == before
    assert [job.number for job in session.engine.queue] == []
    assert list(session.engine.ended) == [3]


def _refuses(files: JobFiles, number: int, node: Node) -> JobState:
    reason = f"node {node.name} has torch 1 instead of 2"
    files.write_outcome(number, JobEnding.REFUSED, reason)
    return JobState(JobPhase.ENDED, node.name)


def test_a_node_with_another_torch_is_named(session: Session) -> None:
    run = session.open({1: _refuses})
    reason = run.measure(run.cases[0]).reason or ""
    assert reason.startswith(
        "job 1 on n1 was refused: node n1 has torch 1 instead of 2; measure it"
    )
    assert f"--resume {session.path} --on local" in reason
    assert run.judge(run.cases[0]).reason == reason
    assert run.measure(run.cases[2]).status is Status.OK


def test_many_jobs_with_one_reason_are_counted(session: Session) -> None:
    def lose(*_: object) -> JobState:
        return JobState(JobPhase.ENDED, "n1", "lost its node")

    lost = dict.fromkeys(range(1, 21), lose)
    session.measure(lost, batch_size=[str(size) for size in range(1, 81)], one_at_a_time=True)
    text = session.output.getvalue()
    jobs = text.count("failed, 0 cases measured")
    assert jobs > cluster_spread.MAX_ALIKE
    assert text.count("lost its node. Not measured") == cluster_spread.MAX_ALIKE
    assert f"note: {jobs - cluster_spread.MAX_ALIKE} more jobs lost its node (run.log" in text
    log = (session.path / "run.log").read_text()
    assert log.count("lost its node. Not measured") == jobs


def _writes_to_a_log(files: JobFiles, number: int, node: Node) -> JobState:
    files.log(number).write_text("Traceback\nOSError: [Errno 28] No space left on device\n")
    return JobState(JobPhase.ENDED, node.name, "ended with exit code 3")


def test_the_last_line_of_a_lost_job_s_output_is_shown(session: Session) -> None:
    session.measure({1: _writes_to_a_log})
    line = "(its last line: OSError: [Errno 28] No space left on device)"
    assert f"job 1 on n1 ended with exit code 3 {line}" in session.output.getvalue()


def _interrupts(*_: object) -> JobState:
    raise KeyboardInterrupt


def test_ctrl_c_cancels_what_is_queued_and_keeps_what_is_finished(session: Session) -> None:
    run = session.open({2: _interrupts})
    with pytest.raises(KeyboardInterrupt):
        run.measure(run.cases[0])
    assert session.engine.cancelled
    assert (
        "interrupted: 2 jobs are cancelled; what is finished is kept" in session.output.getvalue()
    )
    assert run.measured(run.cases[0]) is not None  # job 1 had ended just before
    assert run.measured(run.cases[3]) is None
    run.close()
    assert session.measure(resume=True) == OK


def test_a_full_disk_cancels_the_jobs_and_keeps_what_is_merged(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session.open()
    merged: list[Merged] = []

    def merge_one(*arguments: Any) -> Merged:
        if merged:
            raise StoreError("cases/b.json: cannot be written (No space left on device)")
        merged.append(merge_job(*arguments))
        return merged[0]

    monkeypatch.setattr(cluster_spread, "merge_job", merge_one)
    with pytest.raises(StoreError, match="No space left on device"):
        run.measure(run.cases[0])
    assert session.engine.cancelled
    assert run.measured(run.cases[0]) is not None
    run.close()
    monkeypatch.setattr(cluster_spread, "merge_job", merge_job)
    assert session.measure(resume=True) == OK


def test_what_a_killed_process_left_is_taken_over(session: Session) -> None:
    run = session.open({1: _interrupts})
    with pytest.raises(KeyboardInterrupt):
        run.measure(run.cases[0])
    files = JobFiles(session.path)
    perform(files, 1, NODES[0])  # a job that went on when its submitter was gone
    run.close()
    assert session.measure(resume=True) == OK
    assert session.engine.cancelled
    assert "already measured: 2 of 4 cases" in session.output.getvalue()
    assert not files.folder(1).exists()


def test_an_engine_that_refuses_the_jobs_loses_nothing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session.open()

    def refuse(_: object) -> None:
        raise EngineError("--on fake: the account has expired")

    monkeypatch.setattr(session.engine, "submit", refuse)
    assert "the account has expired" in (run.measure(run.cases[0]).reason or "")
    run.close()
    assert session.measure(resume=True) == OK


def test_an_engine_that_cannot_be_reached_is_a_usage_error(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise EngineError("--on slurm: sinfo fails: unable to contact the controller")

    monkeypatch.setattr(FakeEngine, "nodes", fail)
    with pytest.raises(UsageError, match="unable to contact the controller"):
        session.open()
    session.opened[0].close()
    assert not session.path.exists()


def test_hosts_as_axis_measures_all_on_each_host(session: Session) -> None:
    assert session.measure(hosts_as_axis=True) == OK
    read = stepbench_reports.load(session.path)
    assert {m.host for m in read.measured} == {"n1"}
    assert {m.host for m in read.repeats} == {"n2"}
    assert len(read.repeats) == 4
    assert session.measure(resume=True) == OK
    assert session.engine.ended == {}


def test_hosts_as_axis_repeats_what_a_host_lacks(session: Session) -> None:
    session.measure({2: _node_fails}, hosts_as_axis=True)
    assert len(stepbench_reports.load(session.path).repeats) == 2
    session.measure(resume=True)
    assert list(session.engine.ended) == [3]
    read = stepbench_reports.load(session.path)
    assert {m.id for m in read.repeats} == {m.id for m in read.measured}


def test_a_run_of_one_machine_is_not_spread_later(session: Session) -> None:
    run = session.open()
    assert run.facts is not None
    run.close()
    text = (session.path / "run.json").read_text()
    assert '"cluster":{' in text
    (session.path / "run.json").write_text(text.replace('"cluster":{', '"other":{'))
    with pytest.raises(UsageError, match="was measured on one machine; resume it there without"):
        session.open(resume=True)


def test_a_spread_run_is_not_resumed_on_this_machine_alone(
    session: Session, tmp_path: Path
) -> None:
    session.measure()
    read = options.read({"stepbench_resume": str(session.path)}, tmp_path)
    run = make_runner(read, [], Console(file=io.StringIO()))
    assert not isinstance(run, ClusterRunner)
    with pytest.raises(UsageError, match="add --on local"):
        run.claim()
    run.close()


def test_each_session_has_an_engine_of_its_own_choice(tmp_path: Path) -> None:
    for words, kind in (({}, Runner), ({"stepbench_on": "slurm"}, ClusterRunner)):
        read = options.read({"stepbench_device": ["cpu"], **words}, tmp_path)
        assert type(make_runner(read, [], Console(file=io.StringIO()))) is kind
