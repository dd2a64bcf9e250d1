import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stepbench.errors import UsageError
from stepbench.regression.tree import STEPBENCH_REPOSITORY, Tree, installed, workload_in
from support import repositories


def trees(tmp_path: Path, *names: str) -> dict[str, Tree]:
    """The same modules in both sides' trees, each of which says whose it is."""
    root, checkout = tmp_path / "root", tmp_path / "checkout"
    for side, directory in (("head", root), ("base", checkout)):
        for name in names:
            file = directory / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"SIDE = {side!r}\n")
    return {
        "head": Tree("head", root, root, Path()),
        "base": Tree("base", root, checkout, Path()),
    }


PROBE = """
import json, sys
from pathlib import Path
from stepbench.regression.tree import Tree, activate, provenance
side, root, checkout, before, modules, shared = sys.argv[1:]
exec(before)
shared = tuple(map(Path, shared.split()))
activate(tree := Tree(side, Path(root), Path(checkout), Path(), shared))
found = {}
for name in modules.split():
    try:
        found[name] = __import__(name, fromlist=["SIDE"]).SIDE
    except ImportError as error:
        found[name] = str(error)
origin = provenance(tree)
print(json.dumps({"found": found, "from_tree": origin.from_tree, "foreign": origin.foreign}))
"""


def probe(
    tree: Tree, *modules: str, before: str = "", shared: str = "", **environment: str
) -> dict[str, Any]:
    """What a process finds that has become the side's."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROBE, tree.side, str(tree.root), str(tree.checkout), before,
         " ".join(modules), shared],
        cwd=tree.root, env=repositories.environment(**environment), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("side", ["base", "head"])
def test_each_side_finds_its_own_modules(tmp_path: Path, side: str) -> None:
    tree = trees(tmp_path, "pkg/__init__.py", "pkg/deep/__init__.py", "src/lib.py", "plain.py")[
        side
    ]
    found = probe(tree, "pkg", "pkg.deep", "lib", "plain")
    assert found["found"] == dict.fromkeys(["pkg", "pkg.deep", "lib", "plain"], side)
    assert found["from_tree"] == 4
    assert found["foreign"] == []


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_path_of_an_editable_installation_is_each_side_s_own(tmp_path: Path, side: str) -> None:
    tree = trees(tmp_path, "python/lib/__init__.py")[side]
    found = probe(tree, "lib", PYTHONPATH=str(tree.root / "python"))
    assert found["found"] == {"lib": side}
    assert found["foreign"] == []


FINDER = """
import importlib.util
class Editable:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "lib":
            file = Path(root) / "hidden" / "lib" / "__init__.py"
            return importlib.util.spec_from_file_location(
                name, file, submodule_search_locations=[str(file.parent)]
            )
sys.meta_path.insert(0, Editable)
"""


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_finder_of_an_editable_installation_is_seen_through(tmp_path: Path, side: str) -> None:
    tree = trees(tmp_path, "hidden/lib/__init__.py", "hidden/lib/part.py")[side]
    found = probe(tree, "lib", "lib.part", before=FINDER)
    assert found["found"] == {"lib": side, "lib.part": side}


def test_a_module_that_base_has_not_is_not_taken_from_head(tmp_path: Path) -> None:
    both = trees(tmp_path, "old.py")
    (both["head"].root / "new.py").write_text("SIDE = 'head'\n")
    found = probe(both["base"], "new", PYTHONPATH=str(both["head"].root))
    assert found["found"] == {"new": "No module named 'new'"}


def test_a_file_that_base_has_not_is_told_with_the_remedy(tmp_path: Path) -> None:
    both = trees(tmp_path, "hidden/lib/__init__.py")
    (both["base"].checkout / "hidden" / "lib" / "__init__.py").unlink()
    message = probe(both["base"], "lib", before=FINDER)["found"]["lib"]
    assert "in base" in message
    assert "share it with --share" in message


def test_a_namespace_package_is_each_side_s_own(tmp_path: Path) -> None:
    tree = trees(tmp_path, "space/part.py")["base"]
    assert probe(tree, "space.part", PYTHONPATH=str(tree.root))["found"] == {"space.part": "base"}


def test_a_module_that_was_loaded_before_is_foreign(tmp_path: Path) -> None:
    tree = trees(tmp_path, "early.py")["base"]
    before = "sys.path.insert(0, root); import early"
    (message,) = probe(tree, "early", before=before)["foreign"]
    assert "early (" in message


@pytest.mark.parametrize("deep", ["pkg", "packages/core/src/pkg"])
def test_a_copy_that_is_installed_elsewhere_is_foreign(tmp_path: Path, deep: str) -> None:
    tree = trees(tmp_path, f"{deep}/__init__.py")["base"]
    copy = tmp_path / "lib" / "site-packages" / "pkg"
    shutil.copytree(tree.root / deep, copy)
    before = f"sys.path.insert(0, {str(copy.parent)!r}); import pkg"
    assert probe(tree, before=before)["foreign"]


def test_what_only_has_the_name_of_an_installed_package_is_none_of_its_copies(
    tmp_path: Path,
) -> None:
    tree = trees(tmp_path, "acme/numpy/__init__.py", "third_party/numpy/__init__.py")["base"]
    assert probe(tree, before="import numpy")["foreign"] == []


def test_one_process_may_become_the_side_several_times(tmp_path: Path) -> None:
    tree = trees(tmp_path, "one.py", "two.py")["base"]
    before = "activate(Tree(side, Path(root), Path(checkout), Path())); import one"
    found = probe(tree, "two", "nowhere", before=before)
    assert found["found"] == {"two": "base", "nowhere": "No module named 'nowhere'"}
    assert found["from_tree"] == 2


def test_what_is_shared_is_both_sides_own(tmp_path: Path) -> None:
    both = trees(tmp_path, "pkg/__init__.py")
    version = both["head"].root / "pkg" / "_version.py"
    version.write_text("SIDE = 'shared'\n")
    (both["base"].checkout / "pkg" / "_version.py").symlink_to(version)
    found = probe(both["base"], "pkg._version", shared=str(version))
    assert found["found"] == {"pkg._version": "shared"}
    assert found["foreign"] == []
    assert probe(both["base"], "pkg._version")["foreign"]


def test_an_environment_within_the_repository_is_not_the_repository_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = trees(tmp_path)["base"]
    monkeypatch.setattr(sys, "prefix", str(tree.root / ".pixi" / "envs" / "default"))
    stdlib = tree.root / ".pixi" / "envs" / "default" / "lib" / "python3.13" / "json.py"
    assert not tree.contains(stdlib)
    assert tree.contains(tree.root / "json.py")


def test_what_is_installed_beneath_the_repository_is_not_the_repository_s(tmp_path: Path) -> None:
    tree = trees(tmp_path)["base"]
    package = tree.root / ".venv" / "lib" / "site-packages" / "numpy" / "__init__.py"
    assert tree.side_path(package) == package
    assert tree.side_path(tree.root / "pkg.py") == tree.checkout / "pkg.py"


def test_stepbench_itself_measures_both_sides() -> None:
    tree = Tree("base", STEPBENCH_REPOSITORY, Path("/elsewhere"), Path())
    own = STEPBENCH_REPOSITORY / "bench" / "stepbench" / "cli.py"
    assert tree.side_path(own) == own
    assert tree.side_path(STEPBENCH_REPOSITORY / "models") == Path("/elsewhere/models")


def test_a_workload_s_file_is_each_side_s_own(tmp_path: Path) -> None:
    tree = trees(tmp_path)["base"]
    given = f"{tree.root / 'train.py'}:make"
    assert workload_in(tree, given) == f"{tree.checkout / 'train.py'}:make"
    for spec in ("convnet", "pkg.module:make", "train.py:make", "/other/x.py:make"):
        assert workload_in(tree, spec) == spec


def test_a_directory_that_base_has_not_is_told(tmp_path: Path) -> None:
    from stepbench.regression.tree import activate

    tree = Tree("base", tmp_path, tmp_path / "checkout", Path("new"))
    with pytest.raises(UsageError, match="base has no folder new"):
        activate(tree)


def test_installed_packages_are_told_by_name_and_part() -> None:
    import numpy.linalg  # noqa: F401

    found = installed(["numpy.linalg.lapack_lite", "json", "stepbench.config.case", "nowhere"])
    assert found == ("numpy.linalg",)
