"""Every field of every file is damaged in turn: it comes to a sentence, and never to a crash."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stepbench_reports
from stepbench_reports import ReportError, regression
from stepbench_reports.read.run import Run
from stepbench_reports.regression import decision
from stepbench_reports.regression import markdown as check_markdown
from stepbench_reports.render import markdown
from stepbench_reports.schema.axes import Axes
from stepbench_reports.schema.check import CompileFact, EndFact, Fact, ParityFact
from stepbench_reports.schema.end_reason import EndReason
from stepbench_reports.schema.files import FACTS, PAIRS, write_record
from stepbench_reports.schema.parity import TrainingFacts, TrainingVerdict, TrainParityOptions
from stepbench_reports.schema.results import TrainingParityRecord
from stepbench_reports.schema.status import Status
from support import synthetic, synthetic_check, synthetic_profile

DEEP = json.loads("[" * 900 + "]" * 900)
DAMAGES: tuple[Any, ...] = (
    None, True, -1, 0, 2**70, 1e300, -0.5, "", "text", [], {}, [None], {"a": {}}, DEEP,
)  # fmt: skip
"""What a field is replaced by."""
Path_ = tuple[str | int, ...]


def fields(content: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The paths of all fields of a JSON value, of long lists the first two."""
    if path:
        yield path
    if isinstance(content, dict):
        for name, value in content.items():
            yield from fields(value, (*path, name))
    elif isinstance(content, list):
        for number, value in enumerate(content[:2]):
            yield from fields(value, (*path, number))


def damaged(content: Any, path: Path_, value: object) -> Any:
    """A copy with another value at a path; the field is taken out for `...`."""
    changed = copy.deepcopy(content)
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return changed


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every kind of file."""
    run = synthetic_profile.write_run(tmp_path_factory.mktemp("run") / "run")
    for file in (run / "cases").glob("*.json"):
        axes = json.loads(file.read_text())["case"]
        (run / "parity").mkdir(exist_ok=True)
        tensor = {
            "step": 1,
            "kind": "output",
            "name": "",
            "error": 1e-7,
            "allowed": 1e-5,
            "eager_error": 0,
        }
        content = synthetic.parity_file(axes, "pass", worst={"output": tensor}, compared=3)
        (run / "parity" / file.name).write_text(json.dumps(content))
        facts = TrainingFacts(
            verdict=TrainingVerdict.EQUIVALENT, eager_fp32=file.stem, options=TrainParityOptions(),
            accuracies=(0.5, 0.6), eager_fp32_accuracies=(0.5, 0.6), difference=0.0, low=-0.1,
            high=0.1,
        )  # fmt: skip
        record = TrainingParityRecord(
            id=file.stem, case=Axes(**axes), status=Status.OK, facts=facts
        )
        write_record(run / "train-parity" / file.name, record)
    return run


def read_and_shown(path: Path) -> Run | str:
    """The run, rendered; or the one sentence that refuses it."""
    try:
        run = stepbench_reports.load(path)
        markdown.render(run)
    except ReportError as error:
        return str(error)
    return run


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_field_is_a_sentence(recorded: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(recorded.rglob("*.json"))))
    content = json.loads(file.read_text())
    path = data.draw(st.sampled_from(list(fields(content))))
    value = data.draw(st.sampled_from([..., *DAMAGES]))
    before = file.read_bytes()
    try:
        file.write_text(json.dumps(damaged(content, path, value)))
        found = read_and_shown(recorded)
    finally:
        file.write_bytes(before)
    if isinstance(found, str):
        assert file.name == "run.json"
        assert file.name in found
        assert "\n" not in found
    for problem in () if isinstance(found, str) else found.problems:
        assert "\n" not in problem
        assert file.stem in problem


NESTED = b'{"schema": 4, "id": ' + b"[" * 5000 + b"]" * 5000 + b"}"


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"nothing", b"\xff\xfe", b'{"schema": 99}', NESTED, None]
)
def test_a_file_that_is_no_record_is_named_and_the_others_are_shown(
    recorded: Path, content: bytes | None
) -> None:
    file = min((recorded / "cases").glob("*.json"))
    before = file.read_bytes()
    file.unlink()
    try:
        if content is None:
            file.mkdir()
        else:
            file.write_bytes(content)
        found = read_and_shown(recorded)
    finally:
        file.rmdir() if content is None else file.unlink()
        file.write_bytes(before)
    assert isinstance(found, Run)
    (problem,) = found.problems
    assert file.name in problem
    assert [m.status for m in found.measurements if not m.ok] == ["damaged"]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A check with every kind of line."""
    case = synthetic_check.CASE
    facts: tuple[Fact, ...] = (
        ParityFact(cases=(case,), head="fail", reason="it is off", base="pass"),
        CompileFact(case=case, seconds=((1.0, 3.0),) * 3),
        *synthetic_check.traces(),
        EndFact(why=EndReason.DONE, elapsed_s=60.0, budget_s=600.0),
    )
    path = tmp_path_factory.mktemp("check") / "check"
    pairs = [
        *synthetic_check.entries(8, 0.1),
        *synthetic_check.entries(8, 0.1, first=9, stage="confirm"),
    ]
    synthetic_check.write(path, pairs, facts)
    return path


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_field_of_a_check_is_a_sentence(checked: Path, data: st.DataObject) -> None:
    file = checked / data.draw(st.sampled_from(["check.json", PAIRS, FACTS]))
    before = file.read_bytes()
    whole = [before] if file.suffix == ".json" else before.splitlines()
    number = data.draw(st.integers(0, len(whole) - 1))
    content = json.loads(whole[number])
    path = data.draw(st.sampled_from(list(fields(content))))
    value = data.draw(st.sampled_from([..., *DAMAGES]))
    line = json.dumps(damaged(content, path, value)).encode()
    problems: tuple[str, ...]
    try:
        file.write_bytes(b"\n".join([*whole[:number], line, *whole[number + 1 :]]) + b"\n")
        check = regression.load(checked)
        check_markdown.render(decision.decide(check))
        problems = check.problems
    except ReportError as error:
        assert file.name == "check.json"
        problems = (str(error),)
    finally:
        file.write_bytes(before)
    for problem in problems:
        assert file.name in problem
        assert "\n" not in problem


def test_a_confirming_pair_without_a_flagged_phase_does_not_count_for_it(checked: Path) -> None:
    file = checked / PAIRS
    before = file.read_bytes()
    *others, last = before.splitlines()
    line = damaged(json.loads(last), ("turns", "phases_s", "forward"), ...)
    try:
        file.write_bytes(b"\n".join([*others, json.dumps(line).encode()]) + b"\n")
        found = decision.decide(regression.load(checked)).findings
    finally:
        file.write_bytes(before)
    pairs = {finding.row.what: finding.pairs for finding in found}
    assert pairs["forward"] == pairs["step"] - 1


@pytest.mark.parametrize("min_effect", [0, 1e-300, 1e300])
def test_a_check_for_no_effect_or_an_endless_one_is_refused(
    checked: Path, min_effect: float
) -> None:
    file = checked / "check.json"
    before = file.read_bytes()
    try:
        file.write_text(json.dumps(damaged(json.loads(before), ("min_effect",), min_effect)))
        with pytest.raises(ReportError, match="min_effect"):
            regression.load(checked)
    finally:
        file.write_bytes(before)
