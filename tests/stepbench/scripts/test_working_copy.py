import shutil
from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.results.writing import StoreError
from stepbench.scripts import working_copy
from stepbench.scripts.requests import ScriptCommand
from stepbench.scripts.working_copy import copied, refuse_large_tree, script_in


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "project"
    for name in ("src", ".git", "data", ".venv", "results", "src/__pycache__"):
        (tree / name).mkdir(parents=True)
    (tree / "src/net.py").write_text("A = 1")
    (tree / "data/train.bin").write_bytes(b"x" * 100)
    (tree / ".venv/pyvenv.cfg").touch()
    (tree / "results/.gitignore").write_text("# Created by stepbench: git ignores the results.\n*")
    (tree / "link").symlink_to("src")
    return tree


def test_a_copy_has_the_user_s_files_alone(tree: Path) -> None:
    with copied(tree, ()) as copy:
        assert sorted(path.name for path in copy.iterdir()) == [".venv", "data", "link", "src"]
        assert (copy / ".venv").is_symlink()
        assert [path.name for path in (copy / "src").iterdir()] == ["net.py"]
        assert (copy / "link").readlink() == Path("src")
    assert not copy.exists()


def test_what_is_written_in_a_copy_does_not_reach_the_tree(tree: Path) -> None:
    with copied(tree, ()) as copy:
        (copy / "src/net.py").write_text("A = 2")
        (copy / "data/train.bin").unlink()
        (copy / "checkpoint.pt").touch()
    assert (tree / "src/net.py").read_text() == "A = 1"
    assert (tree / "data/train.bin").exists()
    assert not (tree / "checkpoint.pt").exists()


def test_a_shared_folder_is_linked(tree: Path) -> None:
    with copied(tree, (tree / "data",)) as copy:
        assert (copy / "data").readlink() == tree / "data"
    assert (tree / "data/train.bin").exists()


def test_a_relative_link_out_of_the_tree_leads_to_the_same_place(tree: Path) -> None:
    (tree.parent / "elsewhere").mkdir()
    (tree / "src/far").symlink_to("../../elsewhere")
    with copied(tree, ()) as copy:
        assert (copy / "src/far").readlink() == tree.parent / "elsewhere"
        assert (copy / "link").readlink() == Path("src")


def test_a_tree_that_cannot_be_copied_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise shutil.Error([("a", "b", "[Errno 28] No space left on device")])

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(StoreError, match=r"No space left on device.*TMPDIR"), copied(tree, ()):
        pass


def test_a_large_file_may_be_shared(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working_copy, "MAX_COPY_BYTES", 150)
    (tree / "large.bin").write_bytes(b"x" * 100)
    with pytest.raises(UsageError, match=r"--share (large\.bin|data)"):
        refuse_large_tree(tree, ())
    refuse_large_tree(tree, (tree / "large.bin",))


def test_a_large_tree_is_refused_with_its_largest_folder(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working_copy, "MAX_COPY_BYTES", 50)
    with pytest.raises(UsageError, match="--share data"):
        refuse_large_tree(tree, ())
    refuse_large_tree(tree, (tree / "data",))


@pytest.mark.parametrize(
    ("target", "moved"),
    [("train.py", "train.py"), ("/elsewhere/train.py", "/elsewhere/train.py")],
)
def test_a_script_outside_of_the_tree_stays_where_it_is(
    tree: Path, target: str, moved: str
) -> None:
    script = ScriptCommand(target, is_module=False, arguments=("x",))
    assert script_in(Path("/copy"), tree, script) == ScriptCommand(moved, False, ("x",))


def test_an_absolute_path_in_the_tree_is_moved(tree: Path) -> None:
    script = ScriptCommand(str(tree / "src/net.py"), is_module=False)
    assert script_in(Path("/copy"), tree, script).target == "/copy/src/net.py"
