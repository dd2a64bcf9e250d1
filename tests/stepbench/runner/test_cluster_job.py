"""A job's process, up to the cases; whole jobs are in tests/end_to_end and tests/cluster."""

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from stepbench import machine
from stepbench.cluster.job_files import JobFiles
from stepbench.config import options
from stepbench.results.writing import StoreError
from stepbench.runner import cluster_job, prepare
from stepbench_reports.schema.cluster import JobEnding, JobOutcome, JobRequest


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobFiles:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(machine.NODE, "n7")
    return JobFiles(tmp_path / "run")


def request_of(files: JobFiles, **changed: Any) -> str:
    """Writes a job of one case, and returns its file."""
    words = {"stepbench_device": ["cpu"], "stepbench_batch_size": ["1"],
             "stepbench_num_workers": ["0"], "stepbench_compile": ["off"]}  # fmt: skip
    facts = prepare.requested_facts(options.read(words, Path.cwd()), "run", [])
    request = JobRequest(number=1, directory=str(Path.cwd()), run=facts, measured=facts.cases)
    files.write_request(replace(request, **changed))
    return str(files.request_file(1))


def outcome(files: JobFiles) -> JobOutcome:
    found = files.read_outcome(1)
    assert found is not None
    return found


def run_nothing(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    """Has jobs measure nothing, or fail."""

    def measure(*_: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(cluster_job, "_measure", measure)


def test_a_job_says_where_it_runs_and_how_it_ended(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_nothing(monkeypatch)
    assert cluster_job.main([request_of(files)]) == 0
    start = files.read_start(1)
    assert start is not None
    assert start.node == "n7"
    assert (outcome(files).ending, outcome(files).reason) == (JobEnding.DONE, None)


@pytest.mark.parametrize(
    ("error", "ending", "reason"),
    [
        (StoreError("cases/a.json: cannot be written"), JobEnding.FAILED, "cases/a.json: cannot"),
        (KeyboardInterrupt(), JobEnding.INTERRUPTED, "was interrupted"),
    ],
)
def test_a_job_says_why_it_failed(
    files: JobFiles,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    ending: JobEnding,
    reason: str,
) -> None:
    run_nothing(monkeypatch, error)
    assert cluster_job.main([request_of(files)]) == 0
    assert outcome(files).ending is ending
    assert (outcome(files).reason or "").startswith(reason)


def test_an_unexpected_error_is_told_and_raised(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_nothing(monkeypatch, RuntimeError("a bug"))
    with pytest.raises(RuntimeError):
        cluster_job.main([request_of(files)])
    assert outcome(files).reason == "RuntimeError: a bug"


def test_another_torch_is_refused_before_anything_is_measured(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = request_of(files)
    monkeypatch.setattr(machine, "packages", lambda: {"stepbench": "0.1.0", "torch": "1.0"})
    assert cluster_job.main([file]) == 0
    assert outcome(files).ending is JobEnding.REFUSED
    assert "node n7 has torch 1.0 instead of" in (outcome(files).reason or "")
    assert not files.folder(1).exists()


def test_a_node_without_the_directory_is_named(files: JobFiles) -> None:
    assert cluster_job.main([request_of(files, directory="/nowhere/at/all")]) == 0
    assert outcome(files).ending is JobEnding.REFUSED
    assert "node n7 has no directory /nowhere/at/all" in (outcome(files).reason or "")


def test_a_file_that_the_node_cannot_see(
    files: JobFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster_job.main([str(files.request_file(1))]) == cluster_job.UNREADABLE
    assert "on a file system that all nodes share" in capsys.readouterr().err
    assert cluster_job.main([]) == cluster_job.UNREADABLE


def test_an_outcome_that_cannot_be_written_is_an_exit_code(
    files: JobFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = request_of(files)

    def fail(*_: object) -> None:
        raise StoreError("0001.outcome.json: cannot be written (No space left on device)")

    run_nothing(monkeypatch)
    monkeypatch.setattr(JobFiles, "write_outcome", fail)
    assert cluster_job.main([file]) == cluster_job.UNREADABLE
    assert "No space left on device" in capsys.readouterr().err


def test_the_node_s_name_is_the_engine_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(machine.NODE, raising=False)
    monkeypatch.setenv("SLURMD_NODENAME", "gpu[1]")
    assert cluster_job.node_name().startswith("gpu-1-")
    monkeypatch.setenv(machine.NODE, "n1")
    assert cluster_job.node_name() == "n1"
    assert os.sep not in cluster_job.node_name()
