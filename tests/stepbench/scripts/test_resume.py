"""The options of a script's run that is resumed."""

from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.scripts.command import parsed
from stepbench.scripts.resume import adopt, stored_words
from stepbench_reports.schema.measurement import SCHEMA
from stepbench_reports.schema.run import RunFacts

OPTIONS = ("--set", "num_workers=0,2", "--max-time", "9")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    return "train.py"


def facts(command: str) -> RunFacts:
    return RunFacts(
        schema=SCHEMA, id="run", started="", command=command, stepbench="", axes={}, cases=()
    )


def test_a_run_s_command_is_read_back() -> None:
    command = "stepbench script --set num_workers=0,2 -- 'my train.py' --lr 0.1"
    words = ["--set", "num_workers=0,2", "--", "my train.py", "--lr", "0.1"]
    assert stored_words(facts(command), Path("run")) == words


@pytest.mark.parametrize("command", ["stepbench run --batch-size 4", "stepbench script 'a", ""])
def test_a_run_that_is_none_of_a_script_is_refused(command: str) -> None:
    with pytest.raises(UsageError, match="holds no run of a script"):
        stored_words(facts(command), Path("run"))


def test_options_are_the_run_s_own(train: str) -> None:
    before = parsed([*OPTIONS, "--", train])
    given = parsed(["--resume", "run", "-q", "--", train])
    options = adopt(Path("run"), given, before)
    assert options.sampling.max_time_s == 9
    assert len(options.changes) == 2
    assert options.quiet
    assert options.resume == Path("run")


def test_an_option_may_be_repeated_but_not_changed(train: str) -> None:
    before = parsed([*OPTIONS, "--", train])
    adopt(Path("run"), parsed([*OPTIONS, "--", train]), before)
    given = parsed(["--max-time", "10", "--", train])
    with pytest.raises(UsageError, match="has another --max-time"):
        adopt(Path("run"), given, before)


@pytest.mark.parametrize("words", [[], ["train.py", "--lr", "1"], ["other.py"]])
def test_a_script_runs_only_if_the_command_names_it(train: str, words: list[str]) -> None:
    before = parsed(["--", train])
    given = parsed(["--resume", "run", "--", *words])
    with pytest.raises(UsageError, match=r"the run measured -- train\.py"):
        adopt(Path("run"), given, before)
