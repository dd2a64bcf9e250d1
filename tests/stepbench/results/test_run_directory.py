import json
from pathlib import Path

import pytest

from stepbench.config.case import Case
from stepbench.errors import UsageError
from stepbench.results import claim
from stepbench_reports.schema.measurement import SCHEMA
from stepbench_reports.schema.parity import Judgement, ParityVerdict, Rule
from stepbench_reports.schema.results import MeasurementRecord, ParityRecord
from stepbench_reports.schema.run import RunFacts
from stepbench_reports.schema.status import Status

CASE = Case(workload="convnet")
FAILED = MeasurementRecord(
    id=CASE.id, case=CASE, status=Status.OOM, reason="too large", elapsed_s=1.5
)


def test_a_measurement_is_read_as_it_was_written(tmp_path: Path) -> None:
    directory = claim.create(tmp_path / "run")
    directory.write(FAILED)
    read = directory.read(MeasurementRecord, CASE)
    assert read is not None
    assert (read.case, read.status, read.reason, read.elapsed_s) == (CASE, "oom", "too large", 1.5)
    assert [path.name for path in (directory.path / "cases").iterdir()] == [f"{CASE.id}.json"]
    directory.close()


JUDGED = ParityRecord(
    id=CASE.id,
    case=CASE,
    status=Status.OK,
    judged_case=CASE.numerics_key.id,
    elapsed_s=2.0,
    judgement=Judgement(
        verdict=ParityVerdict.FAIL,
        reason="the loss at step 1 is 0.1 off",
        rule=Rule(multiple=10.0, floor=1e-5),
    ),
)
TIMED_OUT = ParityRecord(
    id=CASE.id,
    case=CASE,
    status=Status.TIMEOUT,
    reason="not finished after 3 s",
    judged_case=CASE.numerics_key.id,
)


@pytest.mark.parametrize("record", [JUDGED, TIMED_OUT], ids=["judged", "timed out"])
def test_a_judgement_is_read_as_it_was_written(tmp_path: Path, record: ParityRecord) -> None:
    directory = claim.create(tmp_path / "run")
    directory.write(record)
    assert directory.read(ParityRecord, CASE) == record
    content = directory.file(ParityRecord, CASE).read_text()
    directory.file(ParityRecord, CASE).write_text(content.replace('"schema":2', '"schema":99'))
    assert directory.read(ParityRecord, CASE) is None
    directory.close()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 1}', '{"schema": 99}'])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, damage: str) -> None:
    directory = claim.create(tmp_path / "run")
    directory.file(MeasurementRecord, CASE).write_text(damage)
    assert directory.read(MeasurementRecord, CASE) is None
    directory.close()


def test_a_directory_where_a_file_belongs_counts_as_missing_and_gives_way(tmp_path: Path) -> None:
    directory = claim.create(tmp_path / "run")
    directory.file(MeasurementRecord, CASE).mkdir()
    assert directory.read(MeasurementRecord, CASE) is None
    directory.write(FAILED)
    assert directory.read(MeasurementRecord, CASE) == FAILED
    directory.close()


def test_another_case_s_file_is_not_taken(tmp_path: Path) -> None:
    directory = claim.create(tmp_path / "run")
    directory.write(FAILED)
    content = json.loads(directory.file(MeasurementRecord, CASE).read_text())
    content["case"]["batch_size"] = 99
    directory.file(MeasurementRecord, CASE).write_text(json.dumps(content))
    assert directory.read(MeasurementRecord, CASE) is None
    directory.close()


def test_latest_points_at_the_last_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        directory = claim.create(None)
        claim.point_latest_at(directory.path)
        assert (tmp_path / "results" / "latest").resolve() == directory.path
        assert not (tmp_path / "results" / "latest").readlink().is_absolute()
        directory.close()


def test_a_discarded_run_leaves_nothing(tmp_path: Path) -> None:
    claim.create(tmp_path / "run").discard()
    assert not (tmp_path / "run").exists()


def test_a_damaged_run_cannot_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"its run\.json cannot be used"):
        claim.reopen(tmp_path)


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The directory of a run that was killed."""
    directory = claim.create(tmp_path / "run")
    directory.write_run(
        RunFacts(schema=SCHEMA, id="run", started="", command="", stepbench="", axes={}, cases=())
    )
    directory.close()
    return directory.path


def test_what_a_killed_run_left_in_its_scratch_is_removed_and_not_read(earlier: Path) -> None:
    for name in ("references", "scratch", "compile-cache"):
        (earlier / name / "deep").mkdir(parents=True)
        (earlier / name / "deep" / "start.pt").write_bytes(b"crafted")
    claim.reopen(earlier).close()
    assert sorted(entry.name for entry in earlier.iterdir() if entry.is_dir()) == ["cases"]


@pytest.mark.parametrize("name", ["references", "cases", "cases/x.json", "run.log", "tb/convnet"])
def test_a_run_s_directory_with_links_is_not_resumed(
    tmp_path: Path, earlier: Path, name: str
) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_text("precious")
    link = earlier / name
    if link.is_dir():
        link.rmdir()
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)
    with pytest.raises(UsageError, match=rf"--resume .*: {name} in it is a link.*remove it"):
        claim.reopen(earlier)
    assert (target / "file").read_text() == "precious"
    link.unlink()
    claim.reopen(earlier).close()


def test_a_crafted_id_is_not_resumed(earlier: Path) -> None:
    file = earlier / "run.json"
    file.write_text(file.read_text().replace('"cases":[]', '"cases":["../../x"]'))
    with pytest.raises(UsageError, match=r"run\.json cannot be used \(cases\[0\]: "):
        claim.reopen(earlier)
