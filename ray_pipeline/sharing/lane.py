"""What a job minds at a server that others use too: how many rows go at once, and when."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from ray_pipeline.background import stand_back
from ray_pipeline.outcome import Outcome
from ray_pipeline.retry import waited_for
from ray_pipeline.sharing.choice import LaneChoice
from ray_pipeline.sharing.gate import Gate
from ray_pipeline.sharing.helm import Helm
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.limit import UNLIMITED, Bound, Limit
from ray_pipeline.sharing.listener import Listener
from ray_pipeline.sharing.messages import Hello
from ray_pipeline.sharing.pace import Pace
from ray_pipeline.transport import wire
from ray_pipeline.transport.base import Pending, Queued, Request, Transport
from triton_models.server.credentials import Credentials
from triton_models.storage import Storage


@dataclass(frozen=True)
class Manners:
    """How a job shares servers: what their users may notice, and its part beside other jobs; `bound` is None in a lane
    of its own, for which `bulk_url` names a server that is there already. `home` is Rayton's folder on the node; the
    job is paused there while `pause_file` exists.
    """

    output: Storage
    lane: LaneChoice
    bound: Bound | None
    home: Path
    weight: float = 1.0
    priority: int = 0
    max_share: float = 1.0
    pause_file: Path | None = None
    bulk_url: str | None = None


class Lane(Protocol):
    """A job's way to a server."""

    @property
    def permitted(self) -> int:
        """How many batches of all who mind each other may be at the server at this moment."""
        ...

    def introduce(self, row: Request) -> None:
        """Takes a request of one real row, before the first batch is sent."""
        ...

    def rows_at_once(self, request: Request) -> int:
        """How many rows of a batch may go in one request at this moment, one at least."""
        ...


class OpenLane:
    """Nobody else is to be minded."""

    permitted = UNLIMITED

    def introduce(self, row: Request) -> None:
        """Nobody asks."""

    def rows_at_once(self, request: Request) -> int:
        """All of them."""
        return rows_of(request)


class Permit(Protocol):
    """The right to have one batch in flight."""

    def give(self, took_s: float, outcome: Outcome) -> None:
        """Gives it back, from any thread."""
        ...


class Permits(Protocol):
    """Who hands out permits: a `Holder`, or a `Gate`."""

    @property
    def limit(self) -> Limit:
        """What holds now."""
        ...

    def take(self, expected_s: float, look: Callable[[], None]) -> Permit:
        """Waits for a permit; where nothing is permitted for long, `look` tells whether there is still a server."""
        ...


class PermittedLane:
    """Batches need permits, and are as large as those who give them let them run.

    Everything that goes through `transport` takes a permit first, and gives it back as soon as its answer is there. A
    server that is away while nothing is permitted is waited for, `timeout_s` at most.
    """

    def __init__(self, transport: Transport, permits_of: Callable[[Request], Permits], timeout_s: float) -> None:
        self.transport = PermittedTransport(transport, self)
        self._permits_of, self._timeout_s = permits_of, timeout_s
        self._permits: Permits | None = None
        self._pace = Pace()

    def introduce(self, row: Request) -> None:
        """The first row is what a limiter measures the server with. Raises FatalError if there is no limiter."""
        if self._permits is None:
            self._permits = self._permits_of(row)

    @property
    def permitted(self) -> int:
        """As many as whoever gives permits says."""
        return UNLIMITED if self._permits is None else self._permits.limit.in_flight

    def rows_at_once(self, request: Request) -> int:
        """As many as run within what the limiter gives a batch."""
        assert self._permits is not None, "a lane is introduced before it is used"
        batch_s = self._permits.limit.batch_s
        rows = rows_of(request)
        return rows if math.isinf(batch_s) else min(rows, self._pace.rows(elements_of(request) // rows, batch_s))

    def take(self, request: Request) -> Permit:
        """Waits for the permit for a request. Raises FatalError if there is no limiter to be had, ServerAwayError if
        the server stays away meanwhile.
        """
        assert self._permits is not None, "a lane is introduced before it is used"
        return self._permits.take(self._pace.seconds(elements_of(request)), self._await_server)

    def _await_server(self) -> None:
        waited_for(lambda: self.transport.check_ready(self._timeout_s), self._timeout_s)

    def answered(self, permit: Permit, request: Request, took_s: float, outcome: Outcome) -> None:
        """Gives a permit back; called from any thread."""
        if outcome == "success":
            self._pace.learn(elements_of(request), took_s)
        permit.give(took_s, outcome)


class PermittedTransport:
    """A transport whose requests wait for permits."""

    def __init__(self, transport: Transport, lane: PermittedLane) -> None:
        self.address = transport.address
        self._transport, self._lane = transport, lane

    def send(self, request: Request) -> Pending:
        """Waits for a permit and puts the batch in flight."""
        permit = self._lane.take(request)
        try:
            pending = self._transport.send(request)
        except BaseException:
            permit.give(0.0, "ignored")
            raise
        pending.when_answered(partial(self._lane.answered, permit, request))
        return pending

    def check_ready(self, timeout_s: float) -> None:
        """As the transport does."""
        self._transport.check_ready(timeout_s)

    def queued(self, model: str, version: int) -> Queued:
        """As the transport does."""
        return self._transport.queued(model, version)

    def close(self) -> None:
        """As the transport does."""
        self._transport.close()


OPEN = OpenLane()


def lane_of(
    transport: Transport,
    manners: Manners,
    instances: int,
    credentials: Credentials,
    listener: Listener,
    timeout_s: float,
) -> PermittedLane:
    """The lane of a job to a server whose model runs on so many instances; an operator can steer it."""
    permits_of = partial(_permits_of, transport, manners, instances, credentials, listener)
    return PermittedLane(transport, permits_of, timeout_s)


def _permits_of(
    transport: Transport,
    manners: Manners,
    instances: int,
    credentials: Credentials,
    listener: Listener,
    row: Request,
) -> Permits:
    permits: Gate | Holder
    if manners.bound is None:
        stand_back(users_online=True)
        permits = Gate(listener)
    else:
        canary = wire.encoded(wire.head_of(row), list(row.inputs.values()))
        hello = Hello(
            job=manners.output.uri,
            pid=os.getpid(),
            bound=manners.bound,
            instances=instances,
            canary=canary,
            weight=manners.weight,
            priority=manners.priority,
            max_share=manners.max_share,
        )
        permits = Holder(transport.address, hello, manners.home, _Steps(listener), credentials=credentials)
    Helm(manners.output, manners.pause_file, permits).start()
    return permits


@dataclass(frozen=True)
class _Steps:
    """The job steps back as far as its limit says, before another `listener` hears of it."""

    listener: Listener

    def limited(self, limit: Limit) -> None:
        stand_back(users_online=limit.users_online)
        self.listener.limited(limit)

    def canary(self, took_s: float, *, silent: bool) -> None:
        self.listener.canary(took_s, silent=silent)


def rows_of(request: Request) -> int:
    """The rows of a batch."""
    return len(next(iter(request.inputs.values())))


def elements_of(request: Request) -> int:
    """The elements of its largest tensor, which its time goes with."""
    return max(array.size for array in request.inputs.values())
