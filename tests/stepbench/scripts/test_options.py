from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.scripts.command import parsed
from stepbench.scripts.options import ScriptOptions, read


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").touch()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*words: str) -> ScriptOptions:
    return read(*parsed(words))


def test_a_script_has_its_arguments() -> None:
    script = options("--", "train.py", "--steps", "3", "--").script
    assert script.target == script.shown == "train.py"
    assert script.arguments == ("--steps", "3", "--")
    assert not script.is_module


def test_a_module_is_named_by_m() -> None:
    script = options("--", "-m", "pkg.train", "-q").script
    assert (script.shown, script.is_module, script.arguments) == ("pkg.train", True, ("-q",))


def test_without_set_the_script_runs_as_it_is() -> None:
    found = options("--", "train.py")
    assert found.changes == ()
    assert found.seed is None
    assert not found.limited
    assert not found.quiet


def test_set_spans_a_matrix_of_typed_values() -> None:
    found = options("--set", "num_workers=0,2", "pin-memory=on", "compile=off", "--", "train.py")
    assert found.changes == (
        {"num_workers": 0, "pin_memory": True, "compile": "off"},
        {"num_workers": 2, "pin_memory": True, "compile": "off"},
    )
    assert found.seed == 0
    assert found.quiet


def test_set_may_be_given_twice() -> None:
    found = options("--set", "num_workers=0", "--set", "num_workers=2", "--", "train.py")
    assert [each["num_workers"] for each in found.changes] == [0, 2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--",), "give the script"),
        (("--", "missing.py"), "there is no such file"),
        (("--", "trains.py"), "did you mean train.py"),
        (("--", "python", "train.py"), "leave python out"),
        (("--", "-m"), "give a module's name"),
        (("--set", "num_workers", "--", "train.py"), "give NAME=VALUES"),
        (("--set", "workers=2", "--", "train.py"), "did you mean num_workers"),
        (("--set", "num_workers=x", "--", "train.py"), "--set num_workers=x"),
        (("--set", "precision=tf32", "--", "train.py"), "tf32"),
        (("--set", "num_workers=2", "--in-place", "--", "train.py"), "--in-place"),
        (("--steps", "0", "--", "train.py"), "--steps 0"),
        (("--max-time", "-1", "--", "train.py"), "--max-time -1"),
        (("--generations", "2", "--", "train.py"), "takes effect only with --set"),
        (("--share", "data", "--", "train.py"), "takes effect only with --set"),
        (("--set", "num_workers=0", "--share", "nowhere", "--", "train.py"), "does not exist"),
        (("--set", "num_workers=0", "--share", "/", "--", "train.py"), "is outside"),
        (("--device", "gpu 1", "--", "train.py"), "a device is written"),
        (("--seed", "x", "--", "train.py"), "--seed x"),
    ],
)
def test_bad_options_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        options(*words)


def test_a_profile_has_its_steps() -> None:
    assert options("--", "train.py").profiling is None
    found = options("--profile", "--profile-steps", "7", "--", "train.py").profiling
    assert found is not None
    assert found.steps == 7
    with pytest.raises(UsageError, match="takes effect only with --profile"):
        options("--profile-steps", "7", "--", "train.py")
