"""Where a job runs: the Ray cluster, its nodes that have a Triton, and the address of the server on each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_pipeline.errors import PlacementError

SERVER_RESOURCE = "triton"
"""The custom resource of a node that has, or gets, a Triton: one for each node."""


@contextmanager
def connected(address: str | None) -> Iterator[list[str]]:
    """A connection to the cluster at `address`, or to one that is started here; gives the ids of the nodes that score.

    Raises PlacementError if the cluster cannot be reached or no node of it has the resource `triton`.
    """
    if address is None:
        # Loopback: a cluster of one machine is nobody else's business.
        ray.init(
            resources={SERVER_RESOURCE: 1},
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
        )
    else:
        try:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise PlacementError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield _scoring_nodes()
    finally:
        ray.shutdown()


def _scoring_nodes() -> list[str]:
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    scoring = [str(node["NodeID"]) for node in nodes if node["Resources"].get(SERVER_RESOURCE, 0) > 0]
    if not scoring:
        raise PlacementError(
            f"none of the {len(nodes)} nodes of the Ray cluster can score; start those that have a Triton with "
            f"`ray start --resources '{{\"{SERVER_RESOURCE}\": 1}}'`"
        )
    return scoring


def on_node(node: str) -> NodeAffinitySchedulingStrategy:
    """Schedules on this node and nowhere else."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


FindServer = Callable[[], str]
"""Gives the address of the server of the node on which it is called."""
