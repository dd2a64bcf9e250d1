"""A Ray cluster of two nodes on this machine, for as long as a test needs it."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

STORE_BYTES = 80 * 2**20
"""The memory of a node's object store, bytes."""


def absence_reason() -> str | None:
    """The reason why no cluster can be started here; `None` if one can."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed"
    return None


@dataclass
class RayCluster:
    """A running cluster.

    Attributes:
        cluster: Ray's own handle.
        nodes: The two nodes; the first is the head.
    """

    cluster: Any
    nodes: list[Any]

    @property
    def address(self) -> str:
        """The address for `ray.init`."""
        return str(self.cluster.address)

    def kill_second(self) -> None:
        """Kills the second node's daemons, as if the machine were gone."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def add_second(self) -> None:
        """Starts a second node."""
        self.nodes.append(self.cluster.add_node(**_resources()))
        self.cluster.wait_for_nodes()


def _resources() -> dict[str, Any]:
    return {"num_cpus": 1, "resources": {"stepbench": 1}, "object_store_memory": STORE_BYTES}


@contextmanager
def running() -> Iterator[RayCluster]:
    """A cluster, for as long as the context lasts."""
    from ray.cluster_utils import Cluster

    arguments = {**_resources(), "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=arguments)
    started = RayCluster(cluster, [cluster.head_node])
    try:
        started.add_second()
        yield started
    finally:
        cluster.shutdown()
