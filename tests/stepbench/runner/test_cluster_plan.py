from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from stepbench.cluster.engine import Node
from stepbench.config import options
from stepbench.config.case import Case
from stepbench.config.matrix import Matrix
from stepbench.results import claim
from stepbench.runner import prepare, resume
from stepbench.runner.cluster_plan import JobPlan
from stepbench.runner.progress import Task
from stepbench_reports.schema.cluster import JobRequest
from stepbench_reports.schema.run import ClusterFacts
from support.fake_engine import NODES

Make = Callable[..., JobPlan]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes the plan of a run of three batch sizes, eager, on two nodes."""

    def plan(*, nodes: tuple[str, ...] = (), up: tuple[Node, ...] = NODES, **given: Any) -> JobPlan:
        words = {"device": ["cpu"], "batch_size": ["1", "2", "4"], "num_workers": ["0"],
                 "compile": ["off"], "on": "local", **given}  # fmt: skip
        read = options.read({f"stepbench_{key}": word for key, word in words.items()}, tmp_path)
        directory = claim.create(tmp_path / "run")
        directory.close()
        facts = structs.replace(
            prepare.requested_facts(read, "run", []),
            cluster=ClusterFacts(engine="fake", hosts_as_axis=bool(nodes), nodes=nodes),
        )
        return JobPlan(read.matrix.cases, directory, facts, read, up)

    return plan


def sizes(request: JobRequest) -> list[object]:
    """The batch sizes of a job's cases."""
    axes = [{key: values[0] for key, values in request.run.axes.items()}, *request.run.include]
    return [point["batch_size"] for point in axes]


def test_each_job_measures_the_reference_case_as_well(make: Make) -> None:
    plan = make()
    first, second = plan.requests(plan.cases, {Task.PARITY: plan.cases}, first=5)
    assert (first.number, second.number) == (5, 6)
    assert (sizes(first), first.repeats) == ([1, 2], ())
    assert (sizes(second), second.repeats) == ([1, 4], (plan.cases[0].id,))
    assert second.measured == (plan.cases[0].id, plan.cases[2].id)
    assert second.parity == (plan.cases[2].id,)
    assert all(request.node is None for request in (first, second))


def test_a_job_s_run_is_read_back_as_its_cases(make: Make, tmp_path: Path) -> None:
    plan = make(compile=["off", "default"], steps="7", threads="1")
    for request in plan.requests(plan.cases, {}, first=1):
        read = resume.stored_options(options.read({}, tmp_path), request.run, tmp_path)
        assert tuple(case.id for case in read.matrix.cases) == request.run.cases
        assert (read.sampling.steps, read.settings.threads) == (7, 1)


def test_only_what_is_missing_is_measured_again(make: Make) -> None:
    plan = make()
    (job,) = plan.requests(plan.cases[2:], {Task.PARITY: []}, first=9)
    assert sizes(job) == [1, 4]
    assert job.repeats == (plan.cases[0].id,)
    assert plan.requests([], {}, first=1) == []


def test_a_job_that_only_compares_measures_nothing(make: Make) -> None:
    plan = make()
    (job,) = plan.requests([], {Task.PARITY: plan.cases[1:2]}, first=1)
    assert (sizes(job), job.measured, job.parity) == ([2], (), (plan.cases[1].id,))


def test_a_profile_needs_the_case_to_be_measured_by_the_same_job(make: Make) -> None:
    plan = make(profile=True)
    (job,) = plan.requests([], {Task.PROFILE: plan.cases[1:2]}, first=1)
    assert job.profiles == (plan.cases[1].id,)
    assert plan.cases[1].id in job.measured


def test_hosts_as_axis_measures_all_cases_on_each_node(make: Make) -> None:
    plan = make(nodes=("n1", "n2"))
    first, second = plan.requests(plan.cases, {Task.PARITY: plan.cases}, first=1)
    assert (first.node, sizes(first), first.repeats) == ("n1", [1, 2, 4], ())
    assert (second.node, sizes(second)) == ("n2", [1, 2, 4])
    assert second.repeats == tuple(case.id for case in plan.cases)
    assert (len(first.parity), second.parity) == (3, ())
    assert [spec.node for spec in plan.specs([first, second])] == list(NODES)


def test_a_node_that_is_down_is_left_out(make: Make) -> None:
    plan = make(nodes=("n1", "n2"), up=NODES[1:])
    (job,) = plan.requests(plan.cases, {}, first=1)
    assert job.node == "n2"


def test_commands_are_short_and_name_the_job_s_file(make: Make) -> None:
    plan = make()
    specs = plan.specs(plan.requests(plan.cases, {}, first=1))
    assert [spec.command[1:4] for spec in specs] == [("-m", "stepbench", "job")] * 2
    assert specs[0].command[4] == str(plan.directory.path / "jobs" / "0001.json")
    assert specs[0].directory == Path.cwd()


def test_the_matrix_of_some_cases_is_these_cases() -> None:
    cases = [
        Case(workload="net", batch_size=4, num_workers=2).normalized(),
        Case(workload="mlp", compile="default", precision="bf16").normalized(),
    ]
    assert Matrix.of(cases).cases == tuple(cases)
    assert Matrix.of(cases[:1]).cases == (cases[0],)


def test_limits_of_this_invocation_reach_the_jobs(make: Make) -> None:
    plan = make(deadline="7", memory_limit="1GiB")
    (job, _) = plan.requests(plan.cases, {}, first=1)
    assert job.run.sampling.deadline_s == 7
    assert job.memory_limit_bytes == 2**30
    later = replace(plan, options=replace(plan.options, memory_limit_bytes=None))
    assert later.requests(plan.cases, {}, first=1)[0].memory_limit_bytes is None
