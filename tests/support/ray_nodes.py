"""A Ray cluster of several nodes on this machine: a head without a Triton, and others that score and may be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster

from ray_pipeline.placement import SERVER_RESOURCE
from tests.support.leftovers import await_end, command, descendants, is_alive
from triton_models.server.keeper import reap_orphaned_shared_memory

_NODE: dict[str, Any] = {"node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}
_DEATH_IS_NOTICED_SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
"""A node that refuses connections is dead after five periods; one that is only slow has ten seconds to answer."""
_METRICS_COME_SOON = {"metrics_report_interval_ms": 500}


class RayNodes:
    """`address` is the cluster's; drivers connect to its head, which no one kills. All others have `cpus` each."""

    def __init__(self, head_cpus: int, cpus: int) -> None:
        config = _DEATH_IS_NOTICED_SOON | _METRICS_COME_SOON
        head = {"num_cpus": head_cpus, "include_dashboard": False, "_system_config": config, **_NODE}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._cpus = cpus
        self.address = str(self._cluster.address)

    @property
    def scoring(self) -> list[Any]:
        """The nodes that score and live, the oldest first. Each has a `node_id`."""
        return sorted(filter(_lives, list(self._cluster.worker_nodes)), key=_raylet)  # others change it meanwhile

    def add(self) -> Any:
        """Adds a node that scores. Only in the main thread: what another starts ends with that thread."""
        return self._cluster.add_node(num_cpus=self._cpus, resources={SERVER_RESOURCE: 1}, **_NODE)

    @property
    def metrics_urls(self) -> list[str]:
        """Where Prometheus finds the metrics of each node."""
        return [f"http://127.0.0.1:{node.metrics_export_port}/metrics" for node in self._cluster.list_all_nodes()]  # type: ignore[no-untyped-call]

    def workers(self) -> set[int]:
        """All processes of the nodes that score."""
        return {pid for node in self.scoring for pid in processes(node)}

    def scoring_actors(self) -> list[int]:
        """The processes of the actors that score."""
        return [pid for pid in sorted(self.workers()) if command(pid).startswith("ray::MapWorker(MapBatches(Scorer))")]

    def replace_dead(self) -> None:
        """Adds a node for each that is dead. To be called in the main thread."""
        for node in list(self._cluster.worker_nodes):
            if not _lives(node):
                self._cluster.remove_node(node, allow_graceful=False)
                self.add()

    def shut_down(self) -> None:
        """Ends all nodes."""
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def ray_nodes(count: int, *, head_cpus: int = 0, cpus: int = 1) -> Iterator[RayNodes]:
    """A cluster with so many nodes that score; gone afterwards."""
    nodes = RayNodes(head_cpus, cpus)
    try:
        for _ in range(count):
            nodes.add()
        yield nodes
    finally:
        nodes.shut_down()


def processes(node: Any) -> set[int]:
    """All processes that run below a node."""
    return descendants(_raylet(node))


def kill_node(node: Any) -> None:
    """A node is gone with all its processes and its memory, without a word to anybody."""
    kill(_raylet(node), *processes(node))
    reap_orphaned_shared_memory()


def kill(*victims: int) -> None:
    """Kills processes that live, and waits for their end."""
    assert victims, "there is no one to kill"
    assert all(is_alive(pid) for pid in victims[:1]), f"process {victims[0]} was dead before"
    for pid in victims:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
    assert await_end(set(victims)) == set()


def _lives(node: Any) -> bool:
    return is_alive(_raylet(node))


def _raylet(node: Any) -> int:
    (raylet,) = node.all_processes["raylet"]
    return int(raylet.process.pid)
