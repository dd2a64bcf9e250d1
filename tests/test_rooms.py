"""The order of rooms: who may import whom, and who may import torch.

A room imports only rooms of greater row numbers, and its own modules; imports inside functions and
for types count as well. Modules that import each other when they are loaded form no cycle.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH = {"torch", "torchvision"}
NO, LAZY, CHILD = "no", "lazy", "child"
"""Torch: never; inside functions only; in children, which are what imports these rooms."""

ROOMS = {  # room: (row, torch)
    "stepbench": (1, NO),  # the front doors: __init__, __main__, cli, api, tensorboard
    "stepbench.benchmarks": (1, NO),
    "stepbench.regression": (2, NO),
    "stepbench.doctor": (2, LAZY),
    "stepbench.init": (2, NO),
    "stepbench.scripts": (2, NO),
    "stepbench.runner": (3, NO),
    "stepbench.scripts.worker": (4, CHILD),
    "stepbench.regression.worker": (4, CHILD),
    "stepbench.cluster": (4, NO),
    "stepbench.scheduling": (5, NO),
    "stepbench.results": (6, NO),
    "stepbench.process": (6, NO),
    "stepbench.profiling": (7, CHILD),
    "stepbench.parity": (7, CHILD),
    "stepbench.measurement": (8, CHILD),
    "stepbench.training": (10, CHILD),
    "stepbench.interference": (11, LAZY),
    "stepbench.devices": (12, LAZY),
    "stepbench.workload": (13, LAZY),
    "stepbench.data": (14, LAZY),
    "stepbench.config": (15, NO),
    "stepbench.machine": (16, NO),
    "stepbench.errors": (17, NO),
    "stepbench.ownership": (16, NO),
    "stepbench_reports": (21, NO),  # the front doors: load, write, show, commands
    "stepbench_reports.regression": (22, NO),
    "stepbench_reports.comparing": (23, NO),
    "stepbench_reports.render": (23, NO),
    "stepbench_reports.sections": (24, NO),
    "stepbench_reports.figures": (24, NO),
    "stepbench_reports.wording": (25, NO),
    "stepbench_reports.read": (26, NO),
    "stepbench_reports.analysis": (27, NO),
    "stepbench_reports.schema": (28, NO),
    "stepbench_reports.command_line": (27, NO),
    "stepbench_reports.errors": (28, NO),
}
SHARED = ("stepbench_reports.analysis", "stepbench_reports.schema")
"""What all of stepbench may import of the reading side; rows 1 to 3 may import the rest as well."""
WITH_TORCH = {"stepbench.data.reading", "stepbench.data.token_windows"}
"""Modules of lazy rooms that import torch, and that only functions import."""


def _modules() -> Iterator[tuple[str, Path]]:
    for root in ("bench", "reports"):
        for path in sorted((ROOT / root).rglob("*.py")):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(_modules())


def room_of(module: str) -> str:
    """The room that a module lies in: the longest one whose name begins the module's."""
    return max((r for r in ROOMS if f"{module}.".startswith(f"{r}.")), key=len)


def imported(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """The modules that a file imports; with `top_level`, those imported with the file itself."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def own(names: Iterator[str]) -> set[str]:
    return {name for name in names if name in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    room = room_of(module)
    row, _ = ROOMS[room]
    for name in own(imported(MODULES[module])):
        other = room_of(name)
        if f"{room}.".startswith(f"{other}."):  # its own room, or the one that it is a part of
            continue
        assert ROOMS[other][0] > row, f"{module} (row {row}) imports {name} of {other}"
        if row > 3 and row < 20 and name.startswith("stepbench_reports"):
            assert other in SHARED, f"{module} imports {name}; only rows 1 to 3 may"


@pytest.mark.parametrize("module", [m for m in MODULES if ROOMS[room_of(m)][1] != CHILD])
def test_children_s_rooms_are_imported_by_children(module: str) -> None:
    for name in own(imported(MODULES[module])):
        assert ROOMS[room_of(name)][1] != CHILD or module == "stepbench", f"{module} imports {name}"


def test_reports_do_not_know_stepbench() -> None:
    for module, path in MODULES.items():
        if module.startswith("stepbench_reports"):
            assert not {n for n in imported(path) if n == "stepbench" or "stepbench." in n}, module


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("stepbench")])
def test_torch_stays_in_its_rooms(module: str) -> None:
    _, torch = ROOMS[room_of(module)]
    path = MODULES[module]
    if torch == CHILD or module in WITH_TORCH:
        return
    at_import = {name.partition(".")[0] for name in imported(path, top_level=True)}
    anywhere = {name.partition(".")[0] for name in imported(path)}
    assert not at_import & TORCH
    if torch == NO:
        assert not anywhere & TORCH - _types_only(path)


def _types_only(path: Path) -> set[str]:
    """Torch's packages that a file imports for types alone."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom) and inner.module:
                    found.add(inner.module.partition(".")[0])
                elif isinstance(inner, ast.Import):
                    found |= {alias.name.partition(".")[0] for alias in inner.names}
    return found


def test_the_parent_s_modules_load_no_torch() -> None:
    parent = [
        module
        for module in MODULES
        if ROOMS[room_of(module)][1] != CHILD
        and module not in WITH_TORCH
        and not module.rpartition(".")[2].startswith(("test_", "__main__"))
    ]
    code = (
        "import importlib, sys\n"
        f"for name in {parent!r}: importlib.import_module(name)\n"
        "sys.exit('torch was loaded' if 'torch' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_is_no_cycle() -> None:
    graph = {
        module: own(imported(path, top_level=True)) - {module} for module, path in MODULES.items()
    }
    while graph:
        leaves = {name for name, uses in graph.items() if not uses}
        assert leaves, f"a cycle among {sorted(graph)}"
        graph = {name: uses - leaves for name, uses in graph.items() if name not in leaves}


def test_only_the_benchmarks_know_pytest() -> None:
    for module, path in MODULES.items():
        if room_of(module) != "stepbench.benchmarks":
            assert "pytest" not in {name.partition(".")[0] for name in imported(path)}, module


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.py")), ids=lambda p: p.name)
def test_shipped_workloads_know_the_public_face_alone(path: Path) -> None:
    names = {name for name in imported(path) if name.startswith("stepbench")}
    assert names <= {"stepbench"}


FOLDERS = [ROOT / name for name in ("bench", "models", "reports", "docs/studies", "tests")]
FILES = [path for folder in FOLDERS for path in sorted(folder.rglob("*.py"))]


def test_no_module_is_called_for_its_odds_and_ends() -> None:
    bad = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert not [path for path in FILES if path.stem in bad]


def test_no_module_and_no_function_is_too_long() -> None:
    long = []
    for path in FILES:
        text = path.read_text()
        lines = len(text.splitlines())
        if lines > 400:
            long.append(f"{path}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno:
                length = node.end_lineno - node.lineno + 1
                if length > 60:
                    long.append(f"{path}:{node.lineno} {node.name}: {length} lines")
    assert not long


def test_no_class_is_defined_twice() -> None:
    places: dict[str, list[str]] = {}
    for folder in ("bench", "models", "reports"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_each_room_says_what_may_enter() -> None:
    for room in ROOMS:
        init = ROOT / ("reports" if room.startswith("stepbench_reports") else "bench")
        init = init.joinpath(*room.split("."), "__init__.py")
        if room.count(".") and init.is_file():
            assert ast.get_docstring(ast.parse(init.read_text())), room
