"""Where a job runs: the Ray cluster, its nodes that have a Triton, and the address of the server on each."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_pipeline.errors import PlacementError

SERVER_RESOURCE = "triton"
"""The custom resource of a node that has, or gets, a Triton: one for each node."""

NAMESPACE = "rayton"
"""Where Ray keeps the names of the actors of a job."""

_REACHABLE_S = 5.0


@contextmanager
def connected(address: str | None) -> Iterator[list[str]]:
    """A connection to the cluster at `address`, or to one that is started here; gives the ids of the nodes that score.

    Raises PlacementError if the cluster cannot be reached or no node of it has the resource `triton`.
    """
    start_or_join = partial(ray.init, logging_level=logging.ERROR, log_to_driver=False)
    if address is None:
        start_or_join(address="local", resources={SERVER_RESOURCE: 1}, include_dashboard=False)
    else:
        _check_reachable(address)
        try:
            start_or_join(address=address)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise PlacementError(
                f"the Ray cluster at {address} cannot be joined: {error}. "
                "If it asks for a token, set RAY_AUTH_MODE=token"
            ) from error
    try:
        yield _scoring_nodes()
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes and says little."""
    host, _, port = address.rpartition(":")
    if "://" in address or not port.isdecimal():
        return  # `auto`, or another way to a cluster that is Ray's to find
    try:
        socket.create_connection((host, int(port)), _REACHABLE_S).close()
    except OSError as error:
        raise PlacementError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); is it running?"
        ) from error


def _scoring_nodes() -> list[str]:
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    scoring = [str(node["NodeID"]) for node in nodes if node["Resources"].get(SERVER_RESOURCE, 0) > 0]
    if not scoring:
        raise PlacementError(
            f"none of the {len(nodes)} nodes of the Ray cluster can score; start those that have a Triton with "
            f"`ray start --resources '{{\"{SERVER_RESOURCE}\": 1}}'`"
        )
    return scoring


def alive_nodes() -> dict[str, str]:
    """The ids of the nodes of the cluster, and the address by which people know each."""
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    return {str(node["NodeID"]): str(node["NodeManagerAddress"]) for node in nodes if node["Alive"]}


def this_node() -> str:
    """The id of the node of this process."""
    return str(ray.get_runtime_context().get_node_id())


def on_node(node: str) -> NodeAffinitySchedulingStrategy:
    """Schedules on this node and nowhere else."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


FindServer = Callable[[], str]
"""Gives the address of the server of the node on which it is called."""
