import json
from pathlib import Path

import pytest

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.results import claim
from stepbench.results.case_measurement import CaseMeasurement
from stepbench_reports.schema.status import Status

CASE = Case(workload="convnet")
FAILED = CaseMeasurement(case=CASE, status=Status.OOM, reason="too large", elapsed_s=1.5)


def test_a_measurement_comes_back_as_it_went(tmp_path: Path) -> None:
    directory = claim.create(tmp_path / "run")
    directory.write(FAILED)
    read = directory.read(CaseMeasurement, CASE)
    assert read is not None
    assert (read.case, read.status, read.reason, read.elapsed_s) == (CASE, "oom", "too large", 1.5)
    assert [path.name for path in (directory.path / "cases").iterdir()] == [f"{CASE.id}.json"]
    directory.close()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 1}', '{"schema": 99}'])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, damage: str) -> None:
    directory = claim.create(tmp_path / "run")
    directory.file(CaseMeasurement, CASE).write_text(damage)
    assert directory.read(CaseMeasurement, CASE) is None
    directory.close()


def test_another_case_s_file_is_not_taken(tmp_path: Path) -> None:
    directory = claim.create(tmp_path / "run")
    directory.write(FAILED)
    content = json.loads(directory.file(CaseMeasurement, CASE).read_text())
    content["case"]["batch_size"] = 99
    directory.file(CaseMeasurement, CASE).write_text(json.dumps(content))
    assert directory.read(CaseMeasurement, CASE) is None
    directory.close()


def test_latest_points_at_the_last_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        directory = claim.create(None)
        claim.point_latest_at(directory.path)
        assert (tmp_path / "results" / "latest").resolve() == directory.path
        assert not (tmp_path / "results" / "latest").readlink().is_absolute()
        directory.close()


def test_a_run_that_came_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    claim.create(tmp_path / "run").discard()
    assert not (tmp_path / "run").exists()


def test_a_damaged_run_cannot_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"its run\.json is damaged"):
        claim.reopen(tmp_path)
