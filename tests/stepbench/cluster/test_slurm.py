"""The engine `slurm` with programs that stand for SLURM's; `tests/cluster` has real ones."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stepbench.cluster import slurm
from stepbench.cluster.engine import EngineError, JobPhase, JobSpec, JobState, Node
from stepbench.cluster.slurm import SlurmEngine
from stepbench.config.cluster import ClusterOptions
from stepbench.errors import UsageError

Say = Callable[..., None]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Sets the output of SLURM's programs; without, they print nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def set_output(program: str, output: str = "", code: int = 0, error: str = "") -> None:
        (folder / f"{program}.out").write_text(output)
        (folder / program).write_text(
            f'#!/bin/sh\necho "$0 $*" >>{folder}/calls\ncat {folder}/{program}.out\n'
            f"echo '{error}' >&2\nexit {code}\n"
        )
        (folder / program).chmod(0o755)

    for program in slurm.PROGRAMS:
        set_output(program)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setitem(sys.modules, "submitit", object())
    return set_output


def engine(tmp_path: Path, **values: str) -> SlurmEngine:
    return SlurmEngine(ClusterOptions("slurm", values), tmp_path / "run-1", tmp_path)


def test_nodes_that_are_up_are_listed_once(say: Say, tmp_path: Path) -> None:
    say("sinfo", "n1|idle\nn1|idle\nn2|mixed\nn3|down\nn4|idle*\nn5|drained\nn6|allocated\n")
    made = engine(tmp_path, partition="gpu", nodelist="n[1-6]")
    assert made.nodes() == (Node("n1"), Node("n2"), Node("n6"))
    assert "--partition=gpu --nodes=n[1-6]" in (tmp_path / "bin" / "calls").read_text()


@pytest.mark.parametrize("missing", slurm.PROGRAMS)
def test_a_missing_program_is_named(
    say: Say, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("sinfo")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin" / missing).unlink()
    with pytest.raises(UsageError, match=f"there is no {missing} on the search path"):
        engine(tmp_path)


def test_the_missing_extra_is_named(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("sinfo")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"pip install 'stepbench\[slurm\]'"):
        engine(tmp_path)


def test_a_controller_that_does_not_answer(say: Say, tmp_path: Path) -> None:
    say("sinfo", code=1, error="slurm_load_partitions: Unable to contact slurm controller")
    with pytest.raises(EngineError, match=r"sinfo fails: .*Unable to contact slurm controller"):
        engine(tmp_path).nodes()


@pytest.mark.parametrize(
    ("word", "reason", "state"),
    [
        ("PENDING", "Resources", JobState(JobPhase.QUEUED)),
        ("PENDING", "QOSMaxJobsPerUserLimit", JobState(JobPhase.QUEUED, None,
                                                       "QOSMaxJobsPerUserLimit")),
        ("RUNNING", "None", JobState(JobPhase.RUNNING, "n1")),
        ("COMPLETING", "None", JobState(JobPhase.RUNNING, "n1")),
        ("COMPLETED", "None", JobState(JobPhase.ENDED, "n1")),
        ("NODE_FAIL", "NodeDown", JobState(JobPhase.ENDED, "n1", slurm.REASONS["NODE_FAIL"])),
        ("PREEMPTED", "None", JobState(JobPhase.ENDED, "n1", slurm.REASONS["PREEMPTED"])),
        ("TIMEOUT", "TimeLimit", JobState(JobPhase.ENDED, "n1", slurm.REASONS["TIMEOUT"])),
    ],
)  # fmt: skip
def test_words_of_squeue_are_states(word: str, reason: str, state: JobState) -> None:
    assert slurm._state(word, "n1", reason) == state


def submitted(made: SlurmEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int,
              limit: int = 10**6) -> list[int]:  # fmt: skip
    """Submits jobs to an engine whose arrays are taken until there are `limit` jobs."""
    sizes: list[int] = []

    def submit_array(_: object, jobs: list[JobSpec]) -> list[str]:
        if sum(sizes) + len(jobs) > limit:
            raise EngineError("--on slurm: sbatch refuses the jobs: Job violates QOS limit")
        sizes.append(len(jobs))
        return [f"{len(sizes)}_{index}" for index in range(len(jobs))]

    monkeypatch.setattr(made, "_submit_array", submit_array)
    made.submit(
        [JobSpec(n, ("true",), tmp_path, tmp_path / "log") for n in range(1, count + 1)]
    )  # fmt: skip
    return sizes


def test_jobs_are_submitted_in_arrays_that_slurm_accepts(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("scontrol", "ClusterName = c\nMaxArraySize            = 1001\n")
    assert submitted(engine(tmp_path), tmp_path, monkeypatch, 2500) == [1001, 1001, 498]


def test_jobs_beyond_a_limit_wait_for_room(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("scontrol", "MaxArraySize            = 2\n")
    made = engine(tmp_path)
    assert submitted(made, tmp_path, monkeypatch, 5, limit=4) == [2, 2]
    say("squeue", "1_0|RUNNING|n1|None\n1_1|RUNNING|n2|None\n2_0|PENDING||Resources\n")
    states = made.states()
    assert [states[number].phase for number in (1, 2, 3, 4, 5)] == [
        JobPhase.RUNNING, JobPhase.RUNNING, JobPhase.QUEUED, JobPhase.QUEUED, JobPhase.QUEUED
    ]  # fmt: skip
    assert states[5].reason == "SLURM takes no more jobs at once"


def test_a_first_array_that_is_refused_is_an_error(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("scontrol")
    with pytest.raises(EngineError, match="violates QOS limit"):
        submitted(engine(tmp_path), tmp_path, monkeypatch, 5, limit=1)


def test_a_job_that_slurm_has_forgotten_has_ended(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("scontrol")
    made = engine(tmp_path)
    submitted(made, tmp_path, monkeypatch, 2)
    say("squeue", "1_0|RUNNING|n1|None\n")
    assert made.states()[2].phase is JobPhase.QUEUED  # it may not be visible yet
    monkeypatch.setattr(slurm, "VISIBLE_S", -1.0)
    assert made.states()[2] == JobState(JobPhase.ENDED)
    say("squeue", code=1, error="slurm_load_jobs error: Invalid job id specified")
    assert made.states()[1] == JobState(JobPhase.ENDED, "n1")


def test_options_of_sbatch_are_the_user_s_and_those_of_a_run() -> None:
    assert slurm._sbatch_options({}) == {"exclusive": True, "no-requeue": True}
    given = {"gres": "gpu:1", "cpus_per_task": "4", "exclusive": "false"}
    assert slurm._sbatch_options(given) == {
        "gres": "gpu:1", "cpus-per-task": "4", "no-requeue": True,
    }  # fmt: skip


@pytest.mark.parametrize("option", [{"requeue": "true"}, {"no-requeue": "false"}])
def test_a_job_that_would_be_started_again_is_refused(option: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--on-option requeue: a job is started once"):
        slurm._sbatch_options(option)


def test_jobs_are_named_after_their_run_alone(tmp_path: Path) -> None:
    names = {slurm.job_name(tmp_path / folder / "out,1") for folder in ("a", "b")}
    assert len(names) == 2
    assert all(re.fullmatch("stepbench-out-1-[0-9a-f]{8}", name) for name in names)
    assert slurm.job_name(tmp_path / "a" / ".." / "b" / "out,1") in names


def test_cancelling_names_the_run_s_jobs(say: Say, tmp_path: Path) -> None:
    say("squeue", "")
    engine(tmp_path).cancel()
    name = slurm.job_name(tmp_path / "run-1")
    assert f"scancel --name={name} --user=" in (tmp_path / "bin" / "calls").read_text()
