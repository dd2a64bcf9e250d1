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
STEPBENCH_REPOSITORY = _PACKAGE.parents[1]
"""The repository of stepbench, unless stepbench is installed from a wheel."""
STEPBENCH_PACKAGES = (_PACKAGE, Path(stepbench_reports.__file__).resolve().parent)
"""The packages of stepbench that measure both sides, even if stepbench is the repository."""
STEPBENCH_NAMES = {"stepbench", "stepbench_reports", "stepbench_models"}
"""The packages of stepbench, which `installed` leaves out."""


@dataclass(frozen=True)
class Tree:
    """The files of a side.

    Attributes:
        side: `base` or `head`.
        root: The repository's working tree, from which editable packages are installed.
        checkout: The directory of this side's files; for a working tree `root` itself.
        subdirectory: The working directory, relative to `root` and to `checkout`.
        shared: Files and folders that both sides take from `root`, such as data and built
            extensions.
    """

    side: SideName
    root: Path
    checkout: Path
    subdirectory: Path
    shared: tuple[Path, ...] = ()

    @property
    def directory(self) -> Path:
        """The side's working directory."""
        return self.checkout / self.subdirectory

    def side_path(self, path: Path) -> Path:
        """Maps a path of the repository to this side's files; returns other paths unchanged."""
        return self.checkout / path.relative_to(self.root) if self.contains(path) else path

    def contains(self, path: Path) -> bool:
        """True if a path is in the repository, but not shared, installed or stepbench's."""
        if not path.is_relative_to(self.root) or _is_stepbench(path) or self.is_shared(path):
            return False
        if any(path.is_relative_to(python) for python in _python_directories(self.root)):
            return False
        return not INSTALLED & set(path.relative_to(self.root).parts)

    def is_shared(self, path: Path) -> bool:
        """True if both sides take a path from the repository."""
        return any(path.is_relative_to(shared) for shared in self.shared)


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
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return self._relocate(spec)
        return None

    def _relocate(self, spec: ModuleSpec) -> ModuleSpec:
        folders = spec.submodule_search_locations
        if spec.origin is None or not spec.has_location:  # a namespace package, or built in
            if folders is not None:
                side_folders = [
                    str(self._tree.side_path(Path(folder).resolve())) for folder in folders
                ]
                spec.submodule_search_locations = side_folders
            return spec
        origin = Path(spec.origin).resolve()
        if not self._tree.contains(origin):
            return spec
        file = self._tree.side_path(origin)
        if not file.is_file():
            raise ModuleNotFoundError(
                f"No module named {spec.name!r} in {self._tree.side}: {file} does not exist; if "
                f"git ignores the file, share it with --share {origin}",
                name=spec.name,
            )
        side_spec = spec_from_file_location(
            spec.name,
            file,
            submodule_search_locations=None if folders is None else [str(file.parent)],
        )
        if side_spec is None:  # pragma: no cover
            raise ImportError(spec.name)
        return side_spec


def activate(tree: Tree) -> None:
    """Sets this process's working directory and import path to those of a side.

    Raises:
        UsageError: The tree lacks the working directory.
    """
    if not tree.directory.is_dir():
        raise UsageError(
            f"{tree.side} has no folder {tree.subdirectory}; run the check in a folder that both "
            f"sides have"
        )
    os.chdir(tree.directory)
    source = tree.checkout / "src"
    first = [str(tree.directory), *([str(source)] if source.is_dir() else [])]
    rest = [str(tree.side_path(Path(entry or ".").resolve())) for entry in sys.path if entry]
    sys.path[:] = list(dict.fromkeys([*first, *rest]))
    sys.path_importer_cache.clear()
    if tree.checkout != tree.root and not any(isinstance(f, Relocation) for f in sys.meta_path):
        sys.meta_path.insert(0, Relocation(tree))


def workload_in(tree: Tree, spec: str) -> str:
    """A workload's specification, with a file of the repository replaced by the side's file."""
    file, colon, attribute = spec.rpartition(":")
    if not colon or not file.endswith(".py") or not Path(file).is_absolute():
        return spec
    return f"{tree.side_path(Path(file).resolve())}:{attribute}"


@dataclass(frozen=True)
class Provenance:
    """The origin of the repository's modules.

    Attributes:
        from_tree: The number of modules that were loaded from the side's tree.
        foreign: The modules that were loaded from elsewhere, each as `module (file)`.
    """

    from_tree: int
    foreign: tuple[str, ...]


def provenance(tree: Tree) -> Provenance:
    """Finds the origin of every module that this process has loaded."""
    from_tree, foreign = 0, []
    copies = InstalledCopies(tree)
    for name, file in _loaded_files():
        if _is_stepbench(file) or tree.is_shared(file):
            continue
        if replace(tree, root=tree.checkout).contains(file):
            from_tree += 1
        elif tree.contains(file) or copies.include(name, file):
            foreign.append(f"{name} ({file})")
    return Provenance(from_tree, tuple(sorted(foreign)))


class InstalledCopies:
    """Recognizes installed copies of the repository's modules: the same path and content.

    Args:
        tree: The side's files.
    """

    def __init__(self, tree: Tree) -> None:
        self._by_name: dict[str, list[Path]] = {}
        if tree.root == STEPBENCH_REPOSITORY:  # stepbench is always installed
            return
        for top in {tree.root, tree.checkout}:
            for folder, folders, files in os.walk(top):
                folders[:] = [f for f in folders if f not in SKIPPED and not f.startswith(".")]
                for file in files:
                    if file.endswith(".py"):
                        self._by_name.setdefault(file, []).append(Path(folder, file))

    def include(self, name: str, file: Path) -> bool:
        """True if an installed module is a copy of a module of the repository."""
        if not INSTALLED & set(file.parts):
            return False
        depth = name.count(".") + 1 + (file.name == "__init__.py")
        tail = file.parts[-depth:]
        for source in self._by_name.get(file.name, ()):
            same_path = source.parts[-depth:] == tail
            if same_path and source.stat().st_size and _same_content(source, file):
                return True
        return False


def _same_content(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)


def _loaded_files() -> Iterator[tuple[str, Path]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and Path(file).is_absolute():  # `torch.ops` and `torch.classes` give a bare name
            yield name, Path(file).resolve()


def _is_stepbench(path: Path) -> bool:
    return any(path.is_relative_to(part) for part in STEPBENCH_PACKAGES)


@cache
def _python_directories(root: Path) -> tuple[Path, ...]:
    """The directories of Python itself inside the repository, such as `.pixi/envs/default`."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_paths()["stdlib"]}
    paths = {Path(prefix).resolve() for prefix in prefixes}
    return tuple(path for path in paths if path != root and path.is_relative_to(root))


def installed(names: Iterable[str]) -> tuple[str, ...]:
    """Selects installed packages and their direct submodules, for a server to import.

    Args:
        names: The names of loaded modules to select from.
    """
    packages = set()
    for name in {".".join(name.split(".")[:2]) for name in names}:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        skipped = name.partition(".")[0] in STEPBENCH_NAMES or name.startswith("_")
        # A module without a spec was put into `sys.modules` by hand: it cannot be imported.
        spec = getattr(module, "__spec__", None)
        if file and spec and not skipped and INSTALLED & set(Path(file).parts):
            packages.add(name)
    return tuple(sorted(packages))
