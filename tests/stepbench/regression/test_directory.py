from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.regression import directory
from stepbench.regression.survey import refuse_changed_spec
from stepbench_reports import regression
from stepbench_reports.schema.check import BeginFact, FatalFact, TurnOptions
from support import synthetic_check as made


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    spec, pair = made.spec(), made.entry(1)
    with directory.created(tmp_path / "check") as check_directory:
        assert check_directory.read_spec() is None
        check_directory.write_spec(spec)
        check_directory.add_pair(pair)
        check_directory.add_pair(made.failed())
        check_directory.add_fact(BeginFact())
        assert check_directory.read_spec() == spec
    check = regression.load(tmp_path / "check")
    assert check.spec == spec
    assert (len(check.pairs), check.failures) == (1, (made.failed(),))
    assert check.facts == (BeginFact(),)
    assert check.problems == ()


@pytest.mark.parametrize("left", ['{"kind": "fat', '{"kind": "begin"}'])
def test_a_line_that_a_kill_cut_off_leaves_no_problem(tmp_path: Path, left: str) -> None:
    made.write(tmp_path, (), [BeginFact()])
    file = tmp_path / "facts.jsonl"
    file.write_text(file.read_text() + left)
    with directory.reopened(tmp_path) as check_directory:
        check_directory.add_fact(FatalFact(reason="x"))
    check = regression.load(tmp_path)
    complete = [BeginFact()] if left.endswith("}") else []
    assert check.facts == (BeginFact(), *complete, FatalFact(reason="x"))
    assert check.problems == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"check\.json cannot be used \(is not valid JSON .*\); start a new check"),
        ('{"schema": 7}', r"check\.json cannot be used \(schema: is 7, .* or later\)$"),
    ],
)
def test_a_check_whose_specification_is_damaged_is_not_resumed(
    tmp_path: Path, content: str, message: str
) -> None:
    made.write(tmp_path)
    (tmp_path / "check.json").write_text(content)
    with pytest.raises(UsageError, match=message), directory.reopened(tmp_path):
        pass


def test_only_the_same_check_is_resumed(tmp_path: Path) -> None:
    stored = made.write(tmp_path).spec
    refuse_changed_spec(tmp_path, stored, made.spec(started="later", notes=("other words",)))
    longer = made.spec(turns=TurnOptions(total_s=9.0), min_effect=0.05)
    with pytest.raises(UsageError, match=r"a different check \(min_effect, turns differ\)"):
        refuse_changed_spec(tmp_path, stored, longer)
    with pytest.raises(UsageError, match="started in /home/me/net"):
        refuse_changed_spec(tmp_path, stored, made.spec(directory="/elsewhere"))
