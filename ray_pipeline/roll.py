"""The roll of a job: which of its nodes have a healthy server. A node without one gets no work.

Ray Data hands a chunk to one actor for good, and Ray runs it again where that actor is started again. So a chunk moves
by its actor: when the server of a node stays away, the actor ends its process, and a stand-in takes the place on the
node (its resource `triton`) before Ray starts the actor again. That one then waits for the place of an actor that has
nothing left to do, or for its own, which is free as soon as the server is back.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

from ray_pipeline.attendance import Attendance
from ray_pipeline.errors import InferenceError, ServerAwayError
from ray_pipeline.placement import NAMESPACE, SERVER_RESOURCE, FindServer, alive_nodes, on_node, this_node
from ray_pipeline.transport.grpc import GrpcTransport
from triton_models.server.credentials import NONE, Credentials

_Result = TypeVar("_Result")
_LOOK_AGAIN_S = 1.0
_READY_S = 10.0


@dataclass(frozen=True)
class Roll:
    """The roll of the job that has this `token`, as the driver and the workers reach it."""

    token: str

    def begin(
        self, find_server: FindServer, away: Mapping[str, ServerAwayError], credentials: Credentials = NONE
    ) -> None:
        """Keeps work off the nodes in `away` until their servers are there. `find_server` is called on the nodes."""
        whys = {node: str(error) for node, error in away.items()}
        ray.get(self._keeper.begin.remote(find_server, whys, credentials))

    def present(self) -> None:
        """Says that the server of this node is there."""
        ray.get(self._keeper.present.remote(this_node()))

    def leave(self, error: ServerAwayError) -> ServerAwayError:
        """Ends this process if another node has a healthy server, for Ray to run its tasks there; or gives the error
        that is to be raised, which names what is wrong with all of them.
        """
        told = ray.get(self._keeper.leave.remote(this_node(), str(error)))
        if told is None:
            os._exit(1)  # an exit in good order would be the actor's last
        return ServerAwayError(told)

    def tell(self, node: str, what: str) -> None:
        """Passes on what a person should know about a node."""
        ray.get(self._keeper.tell.remote(node, what))

    def told(self, results: Iterator[_Result], say: Callable[[str], None]) -> Iterator[_Result]:
        """Passes results on, and says between them what has become of nodes and servers."""
        next_s = time.monotonic()
        for result in results:
            if time.monotonic() >= next_s:
                self._say_news(say)
                next_s = time.monotonic() + _LOOK_AGAIN_S
            yield result
        self._say_news(say)

    def _say_news(self, say: Callable[[str], None]) -> None:
        for line in ray.get(self._keeper.news.remote()):
            say(line)

    @property
    def _keeper(self) -> Any:
        return ray.get_actor(_actor_name(self.token), NAMESPACE)


@contextmanager
def called_roll(nodes: Sequence[str]) -> Iterator[Roll]:
    """The roll of a job on these nodes, kept on the node of this process."""
    token = uuid.uuid4().hex[:12]
    keeper: Any = (
        ray.remote(_RollKeeper)
        .options(
            name=_actor_name(token),
            namespace=NAMESPACE,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=on_node(this_node()),
        )
        .remote(list(nodes))
    )
    try:
        yield Roll(token)
    finally:
        ray.kill(keeper)


class _RollKeeper:
    """The Ray actor that keeps the roll, and owns the stand-ins."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._attendance = Attendance({node: address for node, address in alive_nodes().items() if node in nodes})
        self._find_server: FindServer | None = None
        self._credentials = NONE
        self._held: dict[str, asyncio.Task[None]] = {}

    async def begin(self, find_server: FindServer, away: Mapping[str, str], credentials: Credentials) -> None:
        self._find_server, self._credentials = find_server, credentials
        for node, why in away.items():
            self._attendance.away(node, why)
            stand_in = _stand_in(node)
            with suppress(RayError):  # the node is gone, and nothing will be placed there
                await stand_in.__ray_ready__.remote()  # or an actor would be there first
                self._held[node] = asyncio.create_task(self._hold(node, stand_in))

    async def present(self, node: str) -> None:
        self._attendance.present(node, alive_nodes().get(node, ""))

    async def leave(self, node: str, why: str) -> str | None:
        self._attendance.away(node, why)
        if not self._others():
            return self._attendance.all_away()
        if node not in self._held:
            self._held[node] = asyncio.create_task(self._hold(node, _stand_in(node)))
        return None

    async def tell(self, node: str, what: str) -> None:
        self._attendance.tell(node, what)

    async def news(self) -> list[str]:
        self._attendance.look(alive_nodes())
        return self._attendance.take_news()

    async def _hold(self, node: str, stand_in: Any) -> None:
        """Keeps the place of a node taken until its server is back, or no other node can do its work."""
        back = asyncio.wrap_future(stand_in.await_server.remote(self._find_server, self._credentials).future())
        try:
            while self._others() and not (await asyncio.wait([back], timeout=_LOOK_AGAIN_S))[0]:
                pass
            if back.done():
                back.result()
                self._attendance.present(node, alive_nodes().get(node, ""))
        except RayError:
            pass  # the node is gone, or else its actor will tell what is wrong
        finally:
            back.cancel()
            del self._held[node]
            ray.kill(stand_in)

    def _others(self) -> bool:
        self._attendance.look(alive_nodes())
        return self._attendance.anyone()


class _StandIn:
    """The Ray actor that takes the place of a node whose server is away."""

    def await_server(self, find_server: FindServer, credentials: Credentials) -> None:
        while True:
            try:
                with closing(GrpcTransport(find_server(), credentials)) as transport:
                    return transport.check_ready(_READY_S)
            except InferenceError:
                time.sleep(_LOOK_AGAIN_S)


def _stand_in(node: str) -> Any:
    place = {"num_cpus": 0, "resources": {SERVER_RESOURCE: 1}, "scheduling_strategy": on_node(node)}
    return ray.remote(_StandIn).options(**place).remote()


def _actor_name(token: str) -> str:
    return f"roll-{token}"
