from pathlib import Path

import pytest

from stepbench.errors import UsageError
from stepbench.regression import git
from support import repositories

CHECK_DIRECTORY = Path("/nowhere")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return repositories.make(tmp_path / "repository")


def test_the_repository_is_found_from_within(repository: Path) -> None:
    (repository / "deep").mkdir()
    assert git.repository_of(repository / "deep") == repository.resolve()


def test_outside_a_repository_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"finds no repository in .*--base-python"):
        git.repository_of(tmp_path)


def test_a_revision_is_told_by_its_commit(repository: Path) -> None:
    found = git.resolve(repository, "--base", "main")
    assert found.id == repositories.git(repository, "rev-parse", "HEAD")
    assert found.subject == "Begin"


@pytest.mark.parametrize("revision", ["nowhere", "--help", "main:train.py"])
def test_an_unknown_revision_names_those_there_are(repository: Path, revision: str) -> None:
    with pytest.raises(UsageError, match=r"there is no such revision.*available: main"):
        git.resolve(repository, "--base", revision)


def test_a_shallow_clone_is_told_to_fetch(repository: Path, tmp_path: Path) -> None:
    repositories.git(repository, "commit", "-q", "--allow-empty", "-m", "More")
    clone = tmp_path / "clone"
    repositories.git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(clone))
    with pytest.raises(UsageError, match="fetch-depth: 0"):
        git.resolve(clone, "--base", "HEAD~1")


def test_what_has_changed_includes_new_files_and_not_ignored_ones(repository: Path) -> None:
    head = git.resolve(repository, "--head", "HEAD").id
    assert git.changed_files(repository, CHECK_DIRECTORY, head, None) == ()
    (repository / ".gitignore").write_text("data\n")
    (repository / "data").write_text("large")
    (repository / "pace.py").write_text(repositories.SLOW)
    assert set(git.changed_files(repository, CHECK_DIRECTORY, head, None)) == {
        ".gitignore",
        "pace.py",
    }


def test_changed_lines_have_their_place_in_head(repository: Path) -> None:
    base = git.resolve(repository, "--base", "HEAD").id
    (repository / "pace.py").write_text(repositories.SLOW)
    text = (repository / "train.py").read_text()
    (repository / "train.py").write_text(text.replace("        pause()\n", ""))
    (repository / "new net.py").write_text("a = 1\nb = 2\n")
    (repository / "notes.md").write_text("not Python")
    found = git.changed_lines(repository, CHECK_DIRECTORY, base, None)
    changes = {change.file: change for change in found}
    assert set(changes) == {"pace.py", "train.py", "new net.py"}
    assert changes["pace.py"].code[-1] == "    time.sleep(0.02)"
    assert (changes["train.py"].first, changes["train.py"].count) == (8, 0)
    assert (changes["new net.py"].first, changes["new net.py"].count) == (1, 2)

    repositories.git(repository, "add", "-A")
    repositories.git(repository, "commit", "-q", "-m", "Slow down")
    head = git.resolve(repository, "--head", "HEAD").id
    assert set(git.changed_lines(repository, CHECK_DIRECTORY, base, head)) == set(found)
    assert git.changed_lines(repository, CHECK_DIRECTORY, head, None) == ()


def test_a_link_that_leads_nowhere_has_no_lines(repository: Path, tmp_path: Path) -> None:
    (repository / ".#train.py").symlink_to("me@host.123")  # as editors lock files
    assert git.changed_lines(repository, tmp_path / "check", "HEAD", None) == ()


def test_a_removed_file_has_no_lines_in_head(repository: Path) -> None:
    base = git.resolve(repository, "--base", "HEAD").id
    (repository / "pace.py").unlink()
    assert git.changed_lines(repository, CHECK_DIRECTORY, base, None) == ()


def test_dependencies_are_told_by_their_files() -> None:
    files = ["a.py", "pyproject.toml", "sub/requirements-dev.txt", "uv.lock", "environment.yml"]
    assert git.dependency_files(files) == tuple(files[1:])


def test_the_fingerprint_changes_with_any_file(repository: Path) -> None:
    seen = {git.fingerprint(repository, CHECK_DIRECTORY)}
    (repository / "pace.py").write_text(repositories.SLOW)
    seen.add(git.fingerprint(repository, CHECK_DIRECTORY))
    (repository / "new.py").write_text("")
    seen.add(git.fingerprint(repository, CHECK_DIRECTORY))
    (repository / "new.py").write_text("1")
    seen.add(git.fingerprint(repository, CHECK_DIRECTORY))
    assert len(seen) == 4
    assert git.fingerprint(repository, CHECK_DIRECTORY) in seen


def test_what_the_check_writes_and_bytecode_are_no_part_of_head(repository: Path) -> None:
    out = repository / "out"
    before = git.fingerprint(repository, out)
    (out / "check").mkdir(parents=True)
    (out / "check" / "pairs.jsonl").write_text("{}")
    (repository / "__pycache__").mkdir()
    (repository / "__pycache__" / "pace.pyc").write_bytes(b"1")
    assert git.fingerprint(repository, out) == before
    assert git.changed_files(repository, out, "HEAD", None) == ()


def test_files_that_are_no_text_are_no_trouble(repository: Path) -> None:
    (repository / "train.py").write_bytes("# caf\u00e9\n".encode("latin-1"))
    assert git.fingerprint(repository, CHECK_DIRECTORY)
    assert git.changed_files(repository, CHECK_DIRECTORY, "HEAD", None) == ("train.py",)
