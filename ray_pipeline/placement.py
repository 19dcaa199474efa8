"""Where a job runs: the Ray cluster, its nodes that have a Triton, and the address of the server on each."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_pipeline.errors import PlacementError
from ray_pipeline.interrupt import handlers_kept

SERVER_RESOURCE = "triton"
"""The custom resource of a node that has, or gets, a Triton: one for each node."""

NAMESPACE = "rayton"
"""Where Ray keeps the names of the actors of a job."""

_REACHABLE_S = 5.0
_STARTS = 3
_LATE = "timed out during startup"


@contextmanager
def connected(address: str | None, metrics_port: int | None = None) -> Iterator[list[str]]:
    """A connection to the cluster at `address`, or to one that is started here; gives the ids of the nodes that score.

    One that is started here offers its metrics to Prometheus at `metrics_port`. Raises PlacementError if the cluster
    cannot be reached, if no node of it has the resource `triton`, or if there can be no metrics.
    """
    start_or_join = partial(_init, logging_level=logging.ERROR, log_to_driver=False)
    if address is None:
        port: Any = {} if metrics_port is None else {"_metrics_export_port": _checked_port(metrics_port)}
        _started(
            partial(start_or_join, address="local", resources={SERVER_RESOURCE: 1}, include_dashboard=False, **port)
        )
    else:
        if metrics_port is not None:
            raise PlacementError(
                f"the cluster at {address} has metrics ports of its own; leave --metrics-port {metrics_port} out, and "
                "start nodes with `ray start --metrics-export-port`"
            )
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


def _init(**options: Any) -> None:
    with handlers_kept():
        ray.init(**options)


def _started(start: Callable[[], object]) -> None:
    """Starts Ray, which gives its own processes 30 s: a job that has stepped back may get too little of a busy machine.

    Raises PlacementError if that happens again and again.
    """
    for _ in range(_STARTS):
        try:
            start()
            return
        except Exception as error:  # Ray has no kind of its own for it
            if _LATE not in str(error):
                raise
            late = error
            ray.shutdown()
    raise PlacementError(
        f"Ray did not start on this machine in {_STARTS} tries of 30 s; is it busy? Run the job again, it goes on"
    ) from late


def _checked_port(port: int) -> int:
    """Ray is silent about what keeps it from offering metrics."""
    if find_spec("prometheus_client") is None:
        raise PlacementError(f"--metrics-port {port} needs more of Ray: pip install 'rayton[observe]'")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise PlacementError(f"--metrics-port {port} cannot be had ({error.strerror}); choose another") from error
    return port


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


def addresses_of(nodes: Sequence[str]) -> list[str]:
    """The addresses of nodes, by their ids; a node that has left goes by its id."""
    known = alive_nodes()
    return [known.get(node, node) for node in nodes]


def this_node() -> str:
    """The id of the node of this process."""
    return str(ray.get_runtime_context().get_node_id())


def on_node(node: str) -> NodeAffinitySchedulingStrategy:
    """Schedules on this node and nowhere else."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


FindServer = Callable[[], str]
"""Gives the address of the server of the node on which it is called."""
