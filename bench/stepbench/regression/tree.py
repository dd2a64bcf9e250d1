"""Imports the repository's modules from a side's tree, and checks the origin of each module.

Runs in a side's process, before any module of the repository is imported. The repository's modules
are loaded from the side's tree, whether the repository is on the import path by the current
directory, an editable installation or `src/`. The files of loaded modules are checked afterwards.
"""

import filecmp
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import stepbench_reports
from stepbench.errors import UsageError
from stepbench_reports.schema.check import SideName

INSTALLED = {"site-packages", "dist-packages"}
"""The names of folders with installed packages, which belong to no repository."""
SKIPPED = {*INSTALLED, "node_modules", "third_party", "vendor", "_vendor"}
"""The names of folders that are not searched for the repository's modules."""
_PACKAGE = Path(__file__).resolve().parents[1]
STEPBENCH = _PACKAGE.parents[1]
"""The repository of stepbench, unless stepbench is installed from a wheel."""
MEASURING = (_PACKAGE, Path(stepbench_reports.__file__).resolve().parent)
"""The packages of stepbench that measure both sides, even if stepbench is the repository."""
OWN = {"stepbench", "stepbench_reports", "stepbench_models"}
"""The packages of stepbench, which `installed` leaves out."""


@dataclass(frozen=True)
class Tree:
    """The files of a side.

    Attributes:
        side: `base` or `head`.
        root: The repository's working tree, from which editable packages are installed.
        place: The directory of this side's files; for a working tree `root` itself.
        within: The working directory, relative to `root` and to `place`.
        shared: Files and folders that both sides take from `root`, such as data and built
            extensions.
    """

    side: SideName
    root: Path
    place: Path
    within: Path
    shared: tuple[Path, ...] = ()

    @property
    def directory(self) -> Path:
        """The side's working directory."""
        return self.place / self.within

    def own(self, path: Path) -> Path:
        """Maps a path of the repository to this side's files; returns other paths unchanged."""
        return self.place / path.relative_to(self.root) if self.holds(path) else path

    def holds(self, path: Path) -> bool:
        """True if a path is in the repository, but not shared, installed or stepbench's."""
        if not path.is_relative_to(self.root) or _measures(path) or self.shares(path):
            return False
        if any(path.is_relative_to(place) for place in _environments(self.root)):
            return False
        return not INSTALLED & set(path.relative_to(self.root).parts)

    def shares(self, path: Path) -> bool:
        """True if both sides take a path from the repository."""
        return any(path.is_relative_to(place) for place in self.shared)


class Relocation(MetaPathFinder):
    """Finds the repository's modules in a side's tree, before any other finder.

    Args:
        tree: The side's files.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Finds a module; see `importlib.abc.MetaPathFinder`.

        Raises:
            ModuleNotFoundError: The repository has the module, but the side's tree does not.
        """
        for finder in sys.meta_path:
            if isinstance(finder, Relocation):
                continue
            found = finder.find_spec(fullname, path, target)
            if found is not None:
                return self._moved(found)
        return None

    def _moved(self, found: ModuleSpec) -> ModuleSpec:
        where = found.submodule_search_locations
        if found.origin is None or not found.has_location:  # a namespace package, or built in
            if where is not None:
                moved = [str(self._tree.own(Path(place).resolve())) for place in where]
                found.submodule_search_locations = moved
            return found
        origin = Path(found.origin).resolve()
        if not self._tree.holds(origin):
            return found
        own = self._tree.own(origin)
        if not own.is_file():
            raise ModuleNotFoundError(
                f"No module named {found.name!r} in {self._tree.side}: {own} does not exist; a "
                f"file that git ignores is shared with --share {origin}",
                name=found.name,
            )
        made = spec_from_file_location(
            found.name,
            own,
            submodule_search_locations=None if where is None else [str(own.parent)],
        )
        if made is None:  # pragma: no cover
            raise ImportError(found.name)
        return made


def enter(tree: Tree) -> None:
    """Sets this process's working directory and import path to those of a side.

    Raises:
        UsageError: The tree lacks the working directory.
    """
    if not tree.directory.is_dir():
        raise UsageError(
            f"{tree.side} has no folder {tree.within}; run the check in one that both sides have"
        )
    os.chdir(tree.directory)
    source = tree.place / "src"
    front = [str(tree.directory), *([str(source)] if source.is_dir() else [])]
    rest = [str(tree.own(Path(entry or ".").resolve())) for entry in sys.path if entry]
    sys.path[:] = list(dict.fromkeys([*front, *rest]))
    sys.path_importer_cache.clear()
    if tree.place != tree.root and not any(isinstance(f, Relocation) for f in sys.meta_path):
        sys.meta_path.insert(0, Relocation(tree))


def workload_in(tree: Tree, spec: str) -> str:
    """A workload's specification, with a file of the repository replaced by the side's file."""
    place, colon, attribute = spec.rpartition(":")
    if not colon or not place.endswith(".py") or not Path(place).is_absolute():
        return spec
    return f"{tree.own(Path(place).resolve())}:{attribute}"


@dataclass(frozen=True)
class Provenance:
    """The origin of the repository's modules.

    Attributes:
        own: The number of modules that were loaded from the side's tree.
        foreign: The modules that were loaded from elsewhere, each as `module (file)`.
    """

    own: int
    foreign: tuple[str, ...]


def provenance(tree: Tree) -> Provenance:
    """Finds the origin of every module that this process has loaded."""
    own, foreign = 0, []
    copies = Copies(tree)
    for name, file in _files():
        if _measures(file) or tree.shares(file):
            continue
        if replace(tree, root=tree.place).holds(file):
            own += 1
        elif tree.holds(file) or copies.holds(name, file):
            foreign.append(f"{name} ({file})")
    return Provenance(own, tuple(sorted(foreign)))


class Copies:
    """Recognizes installed copies of the repository's modules: the same path and content.

    Args:
        tree: The side's files.
    """

    def __init__(self, tree: Tree) -> None:
        self._by_name: dict[str, list[Path]] = {}
        if tree.root == STEPBENCH:  # stepbench is always installed
            return
        for top in {tree.root, tree.place}:
            for folder, folders, files in os.walk(top):
                folders[:] = [f for f in folders if f not in SKIPPED and not f.startswith(".")]
                for file in files:
                    if file.endswith(".py"):
                        self._by_name.setdefault(file, []).append(Path(folder, file))

    def holds(self, name: str, file: Path) -> bool:
        """True if an installed module is a copy of a module of the repository."""
        if not INSTALLED & set(file.parts):
            return False
        depth = name.count(".") + 1 + (file.name == "__init__.py")
        tail = file.parts[-depth:]
        for own in self._by_name.get(file.name, ()):
            if own.parts[-depth:] == tail and own.stat().st_size and _alike(own, file):
                return True
        return False


def _alike(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def _files() -> Iterator[tuple[str, Path]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_absolute():  # `torch.ops` and `torch.classes` give a bare name
            yield name, Path(file).resolve()


def _measures(path: Path) -> bool:
    return any(path.is_relative_to(part) for part in MEASURING)


@cache
def _environments(root: Path) -> tuple[Path, ...]:
    """The directories of Python itself inside the repository, such as `.pixi/envs/default`."""
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_paths()["stdlib"]}
    found = {Path(place).resolve() for place in places}
    return tuple(place for place in found if place != root and place.is_relative_to(root))


def installed(names: Iterable[str]) -> tuple[str, ...]:
    """Selects installed packages and their direct submodules, for a server to import.

    Args:
        names: The names of loaded modules to select from.
    """
    found = set()
    for name in {".".join(name.split(".")[:2]) for name in names}:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        own = name.partition(".")[0] in OWN or name.startswith("_")
        # A module without a spec was put into `sys.modules` by hand: it cannot be imported.
        spec = getattr(module, "__spec__", None)
        if file and spec and not own and INSTALLED & set(Path(file).parts):
            found.add(name)
    return tuple(sorted(found))
