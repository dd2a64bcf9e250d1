"""The engine `ray` without Ray; `tests/cluster` has a real cluster."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stepbench.cluster import ray as ray_engine
from stepbench.cluster.engine import EngineError
from stepbench.cluster.engines import make_engine
from stepbench.config.cluster import ClusterOptions
from stepbench.errors import UsageError


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'stepbench\[ray\]'"):
        make_engine(ClusterOptions("ray"), tmp_path / "run", tmp_path, gpus=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"partition": "gpu"}, "--on ray has no such option; choose from address"),
        ({"num_gpus": "half"}, "--on-option num_gpus=half: give a whole number"),
        ({"runtime_env": "[]"}, "--on-option runtime_env: give a JSON object"),
        ({"runtime_env": "{"}, "--on-option runtime_env: give a JSON object"),
    ],
)
def test_options_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    with pytest.raises(UsageError, match=message):
        make_engine(ClusterOptions("ray", values), tmp_path / "run", tmp_path, gpus=0)


def test_an_address_where_nobody_listens_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    options = ClusterOptions("ray", {"address": "127.0.0.1:1"})
    with pytest.raises(EngineError, match=r"no cluster at the address 127\.0\.0\.1:1 .*refused"):
        make_engine(options, tmp_path / "run", tmp_path, gpus=0)


def test_nodes_that_share_a_host_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def node(host: str, number: int, **more: object) -> dict[str, object]:
        usual = {"Alive": True, "NodeManagerHostname": host, "NodeID": f"{number}" * 20}
        return {**usual, "Resources": {"stepbench": 1.0}, **more}

    nodes = [node("a", 1), node("a", 2), node("b", 3), node("c", 4, Alive=False),
             node("d", 5, Resources={"CPU": 4.0})]  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=lambda: nodes))
    monkeypatch.setattr(ray_engine.RayEngine, "_connect", lambda *_: None)
    made = ray_engine.RayEngine(ClusterOptions("ray"), gpus=0)
    assert [(each.name, each.id) for each in made.nodes()] == [
        ("a-11111111", "1" * 20), ("a-22222222", "2" * 20), ("b", "3" * 20)
    ]  # fmt: skip
    del nodes[:3]
    with pytest.raises(Exception, match="none of the cluster's 1 nodes has the resource stepbench"):
        made.nodes()
