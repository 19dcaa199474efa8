"""A Ray cluster of several nodes on this machine: a head that does no work, and others that do and may be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster

from ray_pipeline.placement import SERVER_RESOURCE
from tests.support.leftovers import await_end, command, descendants, is_alive

_OBJECT_STORE_BYTES = 80_000_000
_DEATH_IS_NOTICED_SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
"""A node that refuses connections is dead after five periods; one that is only slow has ten seconds to answer."""


class RayNodes:
    """`address` is the cluster's; drivers connect to its head, which no one kills."""

    def __init__(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": _DEATH_IS_NOTICED_SOON, **_common()}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = str(self._cluster.address)

    def add(self) -> None:
        """Adds a node with one CPU and a Triton. Only in the main thread: what another starts ends with that thread."""
        self._cluster.add_node(num_cpus=1, resources={SERVER_RESOURCE: 1}, **_common())

    def workers(self) -> set[int]:
        """All processes below the nodes' raylets."""
        return {pid for raylet in self._raylets() for pid in descendants(raylet)}

    def scoring_actors(self) -> list[int]:
        """The processes of the actors that score."""
        return [pid for pid in sorted(self.workers()) if command(pid).startswith("ray::MapWorker(MapBatches(Scorer))")]

    def kill_node(self, place: int) -> None:
        """One node of those that work is gone with all its processes, without a word to anybody."""
        raylet = self._raylets()[place]
        kill(raylet, *descendants(raylet))

    def replace_dead(self) -> None:
        """Adds a node for each that is dead. To be called in the main thread."""
        for node in list(self._cluster.worker_nodes):
            if not is_alive(_raylet(node)):
                self._cluster.remove_node(node, allow_graceful=False)
                self.add()

    def shut_down(self) -> None:
        """Ends all nodes."""
        self._cluster.shutdown()  # type: ignore[no-untyped-call]

    def _raylets(self) -> list[int]:
        return [pid for pid in sorted(map(_raylet, self._cluster.worker_nodes)) if is_alive(pid)]


@contextmanager
def ray_nodes(count: int) -> Iterator[RayNodes]:
    """A cluster with so many nodes that work."""
    nodes = RayNodes()
    try:
        for _ in range(count):
            nodes.add()
        yield nodes
    finally:
        nodes.shut_down()


def kill(*victims: int) -> None:
    """Kills processes that live, and waits for their end."""
    assert victims, "there is no one to kill"
    assert all(is_alive(pid) for pid in victims[:1]), f"process {victims[0]} was dead before"
    for pid in victims:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert await_end(set(victims)) == set()


def _common() -> dict[str, Any]:
    return {"node_ip_address": "127.0.0.1", "object_store_memory": _OBJECT_STORE_BYTES}


def _raylet(node: Any) -> int:
    (raylet,) = node.all_processes["raylet"]
    return int(raylet.process.pid)
