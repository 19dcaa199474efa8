"""Managed servers: one on each node for the life of a job, started again when it dies."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from ray_pipeline.errors import ServerAwayError
from ray_pipeline.placement import NAMESPACE, on_node, this_node
from ray_pipeline.roll import Roll
from triton_models.errors import RaytonError, ServerError
from triton_models.repository.checkout import check_out
from triton_models.server.alive import kept_alive
from triton_models.server.balancing import Balancer
from triton_models.server.keeper import has_stepped_back
from triton_models.server.options import ServerOptions
from triton_models.server.ports import steady_port
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import Storage


@dataclass(frozen=True)
class ManagedServer:
    """Each node's server is managed for the job that has this `roll`."""

    roll: Roll

    def __call__(self) -> str:
        """The address of this node's server; it stays the same when the server is started again.

        Raises ServerAwayError if there is none, or none any more.
        """
        try:
            keeper: Any = ray.get_actor(_actor_name(self.roll, this_node()), NAMESPACE)
            return str(ray.get(keeper.address.remote()))
        except RayTaskError as told:
            raise told.cause from None
        except (ValueError, RayActorError) as error:
            raise ServerAwayError("nobody keeps a server on this node for this job") from error


@contextmanager
def managed_servers(
    repository: Storage,
    versions: Mapping[str, int],
    home: Path,
    nodes: Sequence[str],
    roll: Roll,
    *,
    background: bool,
    users_url: str | None,
) -> Iterator[ManagedServer]:
    """An embedded server with these versions on each node; gone afterwards, and also when this process dies.

    One in the `background` gets only the processor time that nobody else wants; the server of online users at
    `users_url`, if there is one, is balanced against it.
    A node where it cannot be started has none. Raises ServerError if that is so on all nodes.
    """
    keepers: list[Any] = [
        ray.remote(_ServerKeeper)
        .options(
            name=_actor_name(roll, node),
            namespace=NAMESPACE,
            num_cpus=0,
            max_concurrency=1,
            scheduling_strategy=on_node(node),
        )
        .remote(roll)
        for node in nodes
    ]
    manner = {"background": background, "users_url": users_url}
    try:
        _started([keeper.start.remote(repository, dict(versions), str(home), **manner) for keeper in keepers])
        yield ManagedServer(roll)
    finally:
        for stopped in [keeper.stop.remote() for keeper in keepers]:
            with suppress(RayActorError):  # its node is gone, and the server with it
                ray.get(stopped)
        for keeper in keepers:
            ray.kill(keeper)


def _started(starts: Sequence[Any]) -> None:
    """Waits for the servers to be started. Raises the first error if none was, or one that is not of a server."""
    failures: list[RaytonError] = []
    for start in starts:
        try:
            ray.get(start)
        except ServerError as error:
            failures.append(error)
        except RayTaskError:
            raise
        except RayError:
            failures.append(ServerAwayError("the node has left the cluster"))
    if len(failures) == len(starts):
        raise failures[0]


class _ServerKeeper:
    """The Ray actor that owns the server of its node."""

    def __init__(self, roll: Roll) -> None:
        self._roll = roll
        self._folder = Path(tempfile.mkdtemp(prefix="rayton-server-"))
        self._over = threading.Event()
        self._server: NodeServer | None = None
        self._balancer: Balancer | None = None
        self._missing = "the server of this node was not started"

    def start(
        self, repository: Storage, versions: dict[str, int], home: str, *, background: bool, users_url: str | None
    ) -> None:
        runtime = ensure_runtime(Path(home), lambda _: None)
        models = self._folder / "models"
        models.mkdir()
        check_out(repository, versions, models)
        log_file = Path(home) / "logs" / f"tritonserver-{os.getpid()}.log"  # it stays: errors name it
        options = ServerOptions(models, log_file, tuple(versions), grpc_port=steady_port(), background=background)
        start = partial(NodeServer.start, runtime, options)
        if users_url is not None and not has_stepped_back():  # else whoever started this process has seen to it
            self._balancer = Balancer()
            if (why_not := self._balancer.balance(users_url)) is not None:
                told = f"threads of {users_url} may share a processor while bulk runs on another: {why_not}"
                self._roll.tell(this_node(), told)
        try:
            self._server = start()
        except ServerError as error:
            self._missing = str(error)
            raise
        threading.Thread(target=self._keep, args=(self._server, start, log_file), daemon=True).start()

    def address(self) -> str:
        if self._server is None:
            raise ServerAwayError(self._missing)
        return self._server.grpc_url

    def stop(self) -> None:
        self._over.set()
        if self._server is not None:
            self._server.stop()
        if self._balancer is not None:
            self._balancer.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _keep(self, first: NodeServer, start: Callable[[], NodeServer], log_file: Path) -> None:
        """Starts the server again each time that it dies, until it is stopped or given up."""
        for again in kept_alive(first, start, NodeServer.wait, self._over.wait):
            deaths = again.deaths
            died = f"server {first.grpc_url} has died {deaths} time{'s' if deaths > 1 else ''}"
            if again.server is None:
                self._missing = f"{died} and is given up; its log is {log_file}"
            elif deaths & (deaths - 1) == 0:  # 1, 2, 4, 8: to find a row that kills servers takes many deaths
                self._roll.tell(this_node(), f"{died} and was started again; its log is {log_file}")
            self._server = again.server


def _actor_name(roll: Roll, node: str) -> str:
    return f"server-{roll.token}-{node}"
