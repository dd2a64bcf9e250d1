"""Scripts as the sides of the gate's pairs."""

from dataclasses import replace
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.process.job import Job, Outcome
from stepbench.regression.command import parser
from stepbench.regression.options import CheckOptions, read
from stepbench.regression.pair import PairPlace, pair_line, take_pair
from stepbench.regression.side_requests import SideRequest, Survey
from stepbench.regression.tree import Tree
from stepbench.scheduling.player import Limits, Player
from stepbench.script_regression import ScriptSides, prepare
from stepbench.scripts.requests import ScriptCommand, ScriptEnd
from stepbench_reports.schema.check import SCREEN, PairLine, SideEnd, SideName, TurnOptions
from support.started_scripts import loop

MODEL = "from torch import nn\n\n\ndef net():\n    return nn.Linear(8, 4)\n"
SCRIPT = loop().replace("nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))", "net()")
SIDES = ScriptSides(ScriptCommand("train.py", is_module=False), None)


def tree(directory: Path, side: SideName = "head", source: str = SCRIPT) -> Tree:
    folder = directory / side
    folder.mkdir()
    (folder / "train.py").write_text("from model import net\n" + source)
    (folder / "model.py").write_text(MODEL)
    return Tree(side, folder, folder, Path())


def options(*words: str) -> CheckOptions:
    values = vars(parser().parse_args(list(words)))
    return replace(read(values, Path.cwd()), script=("train.py",))


def test_a_side_that_is_warm_is_recognised(tmp_path: Path) -> None:
    end = SIDES.recognise(tree(tmp_path))
    assert isinstance(end, ScriptEnd)
    assert end.axes["batch_size"] == 8
    assert end.modules == 2
    assert end.foreign == ()


def test_a_side_that_fails_says_why(tmp_path: Path) -> None:
    head = tree(tmp_path, source="raise ValueError('bad')\n")
    end = SIDES.recognise(head)
    assert isinstance(end, Outcome)
    assert "raised ValueError: bad" in str(end.reason)


def test_a_module_of_the_repository_from_elsewhere_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = tree(tmp_path)
    (tmp_path / "base").mkdir()
    for name in ("model.py", "train.py"):
        (tmp_path / "base" / name).write_text((head.root / name).read_text())
    (tmp_path / "base" / "model.py").unlink()  # so that it is found on the search path
    monkeypatch.setenv("PYTHONPATH", str(head.root))
    end = SIDES.recognise(replace(head, side="base", checkout=tmp_path / "base"))
    assert isinstance(end, ScriptEnd)
    assert end.foreign == (str(head.root / "model.py"),)


def test_sides_take_a_pair(tmp_path: Path) -> None:
    trees: dict[SideName, Tree] = {"base": tree(tmp_path, "base"), "head": tree(tmp_path)}
    checked = options("--base", "main")
    request = checked.run.request(checked.run.matrix.cases[0], tmp_path)

    def start(side: SideName) -> Player[SideEnd]:
        job = Job("stepbench.regression.worker.side:play", (SideRequest(trees[side], request),))
        return Player(SIDES, job, Limits(60.0, lambda _: None))

    played = take_pair(start, TurnOptions(total_s=0.5), lambda _: None)
    line = pair_line(played, PairPlace("train", 1, 1, SCREEN))
    assert isinstance(line, PairLine)
    assert set(line.turns.phases_s) >= {"dataload", "forward", "backward", "optimizer"}
    assert [end.modules for end in line.sides.values()] == [2, 2]


def test_other_jobs_are_not_taken_of_a_script(tmp_path: Path) -> None:
    def run(name: str, *arguments: object) -> Outcome:
        return SIDES.run(Job(f"x:{name}", arguments), deadline_s=60.0, on_progress=lambda _: None)

    assert "is not taken of a script" in str(run("call_in_side").reason)
    checked = options("--base", "main")
    request = checked.run.request(checked.run.matrix.cases[0], tmp_path)
    failing = SideRequest(tree(tmp_path, source="raise ValueError('bad')\n"), request)
    survey = run("survey", (failing,)).result
    assert isinstance(survey, Survey)
    assert "bad" in survey.problems[request.case.id]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--base", "main", "--num-workers", "2"), "--num-workers: takes no effect with --script"),
        (("--base", "main", "--workload", "gpt"), "--workload: takes no effect with --script"),
    ],
)
def test_options_of_workloads_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    with pytest.raises(UsageError, match=message):
        prepare(options(*words))
