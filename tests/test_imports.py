"""Imports go one way; what they may be is written in CONTRIBUTING.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH = {"torch", "torchvision"}
PARENT_SIDE = (
    "__init__", "__main__", "case", "case_result", "child", "data", "data_cache", "devices",
    "disturbance", "equivalence", "errors", "host", "judgement", "judging", "ledger", "measurement",
    "notebook", "options", "phases", "plugin", "profiling.breakdown", "profiling.chrome_trace",
    "profiling.parent", "profiling.profile", "progress", "regression.__main__",
    "regression.check", "regression.comparison", "regression.directory",
    "regression.environments", "regression.facts", "regression.git", "regression.options",
    "regression.pair", "regression.progress", "regression.question", "regression.rounds",
    "regression.sides",
    "regression.trend", "regression.tree", "regression.turns", "regression.worktree", "request",
    "run", "search_path", "settings", "store", "tensorboard", "tokens", "whole", "workload",
)  # fmt: skip
BENCH = {
    ".".join(path.relative_to(ROOT / "bench").with_suffix("").parts): path
    for path in sorted((ROOT / "bench").rglob("*.py"))
}
"""The modules of `bench` by their names beneath it."""
TESTS = {name for name in BENCH if name.startswith("test_")}


def imported(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(names: Iterator[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", sorted((ROOT / "reports").rglob("*.py")), ids=str)
def test_reports_need_neither_bench_nor_torch(path: Path) -> None:
    assert not roots(imported(path)) & (TORCH | {"bench", "models", "reports"})


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.py")), ids=lambda p: p.name)
def test_models_know_the_workload_alone(path: Path) -> None:
    names = {name for name in imported(path) if name.startswith("bench")}
    allowed = {"bench.cycle", "bench.cycle.Step"}  # what a step of one's own is given
    assert all(name.startswith("bench.workload") for name in names - allowed)
    assert "reports" not in roots(imported(path))


@pytest.mark.parametrize("path", BENCH.values(), ids=BENCH)
def test_bench_reaches_models_by_place_and_pytest_by_the_plugin(path: Path) -> None:
    assert "models" not in roots(imported(path))
    if path.stem not in {"plugin", "test_training_step", "__main__"}:
        assert "pytest" not in roots(imported(path))


@pytest.mark.parametrize("name", PARENT_SIDE)
def test_the_parent_s_modules_import_no_torch(name: str) -> None:
    names = set(imported(BENCH[name], top_level_only=True))
    assert not roots(iter(names)) & TORCH
    child_side = BENCH.keys() - {*PARENT_SIDE, *TESTS, "profiling.__init__", "regression.__init__"}
    assert not names & {f"bench.{module}" for module in child_side}


def test_there_is_no_cycle() -> None:
    graph = {
        f"bench.{module}": {
            name for name in imported(path, top_level_only=True) if name.startswith("bench.")
        }
        for module, path in BENCH.items()
        if path.stem != "__init__"
    }
    graph = {name: uses & graph.keys() for name, uses in graph.items()}
    while graph:
        leaves = {name for name, uses in graph.items() if not uses}
        assert leaves, f"a cycle among {sorted(graph)}"
        graph = {name: uses - leaves for name, uses in graph.items() if name not in leaves}


def test_no_module_is_called_for_its_odds_and_ends() -> None:
    bad = {"utils", "util", "helpers", "helper", "misc", "common"}
    rooms = [
        path for room in ("bench", "models", "reports") for path in (ROOT / room).rglob("*.py")
    ]
    assert not [path for path in rooms if path.stem in bad]
