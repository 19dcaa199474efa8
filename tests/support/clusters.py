"""Ray clusters of two kinds of nodes on one machine: one that prepares, and some that have a Triton."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster

from tests.support.leftovers import descendants

_NODE: dict[str, Any] = {"node_ip_address": "127.0.0.1", "object_store_memory": 100 * 1024**2}


class TwoKinds:
    """A running cluster: a head with two processors and no Triton, and nodes with a Triton and no processors."""

    def __init__(self, cluster: Any, scoring: int) -> None:
        self._cluster = cluster
        self.scoring = [self.add() for _ in range(scoring)]

    @property
    def address(self) -> str:
        """Where it is joined."""
        return str(self._cluster.address)

    def add(self) -> Any:
        """Starts one more node that scores."""
        return self._cluster.add_node(**_NODE, num_cpus=0, resources={"triton": 1})

    def processes(self, node: Any) -> set[int]:
        """All processes that run below a node."""
        (raylet,) = node.all_processes["raylet"]
        return descendants(raylet.process.pid)

    def kill(self, node: Any) -> None:
        """Ends a node without warning."""
        self._cluster.remove_node(node, allow_graceful=False)


@contextmanager
def two_kinds(scoring: int) -> Iterator[TwoKinds]:
    """A cluster with so many nodes that score; gone afterwards."""
    cluster: Any = Cluster(initialize_head=True, head_node_args={**_NODE, "num_cpus": 2})
    try:
        yield TwoKinds(cluster, scoring)
    finally:
        cluster.shutdown()
