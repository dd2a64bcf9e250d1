import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stepbench.cluster.job_files import JobFiles
from stepbench.cluster.merge import merge_job, read_hosts
from stepbench.config import options
from stepbench.config.matrix import Matrix
from stepbench.results import claim
from stepbench.results.run_directory import RunDirectory
from stepbench.results.writing import StoreError
from stepbench.runner import prepare
from stepbench_reports.schema.cluster import JobRequest
from support.fake_engine import NODES, case_content, perform


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = claim.create(tmp_path / "run")
    made.close()
    return made


def requested(directory: RunDirectory, **changed: Any) -> JobRequest:
    """A job of two cases that is ready to be measured."""
    words = {"stepbench_device": ["cpu"], "stepbench_batch_size": ["1", "2"],
             "stepbench_num_workers": ["0"], "stepbench_compile": ["off"]}  # fmt: skip
    read = options.read(words, directory.path)
    read = replace(read, matrix=Matrix.of(read.matrix.cases))
    facts = prepare.requested_facts(read, "job", [])
    request = JobRequest(
        number=7,
        directory="/",
        run=facts,
        measured=facts.cases,
        parity=facts.cases,
        **changed,
    )
    JobFiles(directory.path).write_request(request)
    return request


def content(directory: RunDirectory, *parts: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(directory.path.joinpath(*parts).read_text())
    return read


def test_measurements_get_their_host_and_groups_of_their_own(directory: RunDirectory) -> None:
    request = requested(directory)
    perform(JobFiles(directory.path), 7, NODES[0])
    merged = merge_job(directory, request)
    assert sorted(merged.measured) == sorted(request.run.cases)
    for name in request.run.cases:
        file = content(directory, "cases", f"{name}.json")
        assert file["host"] == "n1"
        assert {turn["group"] for turn in file["turns"]} == {7000}
        assert content(directory, "parity", f"{name}.json")["judgement"]["verdict"] == "pass"
    (host,) = read_hosts(directory.path)
    assert (host.name, host.host, host.node_id) == ("n1", "n1.test", "id-1")
    assert host.machine.host == "n1.test"


def test_repeated_cases_do_not_replace_the_case_s_own(directory: RunDirectory) -> None:
    request = requested(directory)
    name = request.run.cases[0]
    repeated = requested(directory, repeats=(name,))
    perform(JobFiles(directory.path), 7, NODES[0])
    merge_job(directory, repeated)
    assert not (directory.path / "cases" / f"{name}.json").exists()
    assert content(directory, "repeats", f"0007-{name}.json")["host"] == "n1"
    assert not (directory.path / "parity" / f"{name}.json").exists()


def test_a_node_that_has_measured_nothing_is_no_host(directory: RunDirectory) -> None:
    request = requested(directory)
    perform(JobFiles(directory.path), 7, NODES[0], cases=0)
    merge_job(directory, request)
    assert read_hosts(directory.path) == ()


def test_a_job_that_never_began_leaves_nothing(directory: RunDirectory) -> None:
    merged = merge_job(directory, requested(directory))
    assert merged.measured == []
    assert read_hosts(directory.path) == ()


def test_an_interrupted_case_does_not_replace_a_measured_one(directory: RunDirectory) -> None:
    request = requested(directory)
    files = JobFiles(directory.path)
    perform(files, 7, NODES[0])
    name = request.run.cases[0]
    merge_job(directory, request)
    before = (directory.path / "cases" / f"{name}.json").read_bytes()
    partial = case_content(request, name)
    partial["sampling"]["stopped"] = "interrupted"
    (files.folder(7) / "cases" / f"{name}.json").write_text(json.dumps(partial))
    merge_job(directory, request)
    assert (directory.path / "cases" / f"{name}.json").read_bytes() == before
    (directory.path / "cases" / f"{name}.json").unlink()
    assert merge_job(directory, request).measured == [request.run.cases[1]]
    assert content(directory, "cases", f"{name}.json")["sampling"]["stopped"] == "interrupted"


def test_a_damaged_file_is_named_and_the_others_are_merged(directory: RunDirectory) -> None:
    request = requested(directory)
    files = JobFiles(directory.path)
    perform(files, 7, NODES[0])
    (files.folder(7) / "cases" / f"{request.run.cases[0]}.json").write_text("{")
    (files.folder(7) / "cases" / ".half-written.json").write_text("{")
    (files.folder(7) / "cases" / "stranger.json").write_text("{}")
    merged = merge_job(directory, request)
    assert merged.measured == [request.run.cases[1]]
    assert len(merged.damaged) == 2
    assert request.run.cases[0] in "".join(merged.damaged)


def test_traces_and_boards_are_moved(directory: RunDirectory) -> None:
    request = requested(directory)
    files = JobFiles(directory.path)
    perform(files, 7, NODES[0])
    for place in ("traces/a.gz", "tb/net/case/events", "snapshots/a.pickle"):
        (files.folder(7) / place).parent.mkdir(parents=True)
        (files.folder(7) / place).write_text(place)
    merge_job(directory, request)
    for place in ("traces/a.gz", "tb/net/case/events", "snapshots/a.pickle"):
        assert (directory.path / place).read_text() == place


def test_a_file_that_cannot_be_written_is_a_store_error(directory: RunDirectory) -> None:
    request = requested(directory)
    perform(JobFiles(directory.path), 7, NODES[0])
    (directory.path / "hosts").write_text("in the folder's place")
    with pytest.raises(StoreError, match="free disk space, then resume"):
        merge_job(directory, request)
