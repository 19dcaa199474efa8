"""The limiter of a node server: a process of its own that all jobs and actors of a user on that node get permits from.

    python -m ray_pipeline.sharing.limiter ADDRESS LOG_FILE LINGER_S [CREDENTIALS]

ADDRESS is that of the server for gRPC, CREDENTIALS the paths of what it is shown, as JSON. Whoever needs the limiter
and does not find it starts it (`connection.py`): the command returns as soon as there is one, be it another. It ends by
itself LINGER_S seconds after its last connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ray_pipeline.sharing.connection import peer_of, socket_name
from ray_pipeline.sharing.messages import MOST_BYTES, Give, Hello, Message, MessageError, Steer, Take, encoded, parsed
from ray_pipeline.sharing.permits import PermitError
from triton_models.server.credentials import NONE, Credentials, of_word
from triton_models.server.keeper import has_stepped_back, step_forward

if TYPE_CHECKING:
    from ray_pipeline.sharing.allotment import Allotment
    from ray_pipeline.sharing.event_log import EventLog
    from ray_pipeline.sharing.signals import Signals

TICK_S = 0.02
COUNT_EVERY_S = 0.25
OTHERS_FIRST_S = 1.0


def main() -> int:
    """Binds the name of the address, which only one process can, and leaves a child behind that serves it."""
    address, log_file, linger_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    credentials = of_word(sys.argv[4]) if len(sys.argv) > 4 else NONE
    # Ray's workers, which start it, are nice and step back; a canary that is late because of that looks like load.
    with suppress(PermissionError):
        step_forward()
    if has_stepped_back():  # whoever keeps a limiter for this job has not, and may be about to start one
        time.sleep(OTHERS_FIRST_S)
    door = socket.socket(socket.AF_UNIX)
    try:
        door.bind(socket_name(address))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return 0
        raise
    door.listen()
    if os.fork():
        os._exit(0)
    asyncio.run(serve(door, address, log_file, linger_s, credentials))
    return 0


async def serve(door: socket.socket, address: str, log_file: Path, linger_s: float, credentials: Credentials) -> None:
    """Serves who comes through the door until nobody has been there for `linger_s`."""
    # After the fork: numpy starts threads, which do not survive one, and grpc dislikes it.
    from ray_pipeline.sharing.allotment import Allotment
    from ray_pipeline.sharing.controller import Controller
    from ray_pipeline.sharing.event_log import EventLog
    from ray_pipeline.sharing.signals import Signals, model_of

    log, signals = EventLog(log_file, follower=sys.stderr.fileno()), Signals(address, credentials)
    limiter = Limiter(log, signals, linger_s)
    limiter.allotment = Allotment(Controller, limiter.tell, log.note, model_of)
    log.note("limiter began", address=address, pid=os.getpid(), background=has_stepped_back())
    server = await asyncio.get_running_loop().create_unix_server(limiter.connection, sock=door)
    async with asyncio.TaskGroup() as limiter.tasks:  # what fails in one of them ends the process, for all to see
        counting = limiter.tasks.create_task(limiter.count())
        await limiter.ticks()
        server.close()
        counting.cancel()
    await signals.close()
    log.note("limiter ended", address=address)


class Limiter:
    """Brings together connections, signals and the clock with what is decided."""

    allotment: Allotment
    tasks: asyncio.TaskGroup

    def __init__(self, log: EventLog, signals: Signals, linger_s: float) -> None:
        self.log, self._signals, self._linger_s = log, signals, linger_s
        self._connections: dict[int, Connection] = {}
        self._comers = 0
        self._alone_since_s = time.monotonic()
        self._canary: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None

    def connection(self) -> Connection:
        """Somebody connects."""
        self._comers += 1
        return Connection(self, self._comers)

    def came(self, connection: Connection) -> None:
        """A connection of this user is open."""
        self._connections[connection.number] = connection

    def left(self, connection: Connection) -> None:
        """A connection is closed."""
        if self._connections.pop(connection.number, None) is not None:
            self._alone_since_s = time.monotonic()
            self.allotment.left(connection.number, time.monotonic())
            self.turn()

    def tell(self, number: int, message: Message) -> None:
        """Sends a message on a connection."""
        self._connections[number].write(encoded(message))

    def heard(self, number: int, message: Message) -> None:
        """Takes a message from a connection. Raises MessageError or PermitError."""
        now_s = time.monotonic()
        match message:
            case Take():
                self.allotment.take(number, message.number, message.expected_s, now_s)
            case Give():
                self.allotment.give(number, message.number, message.took_s, message.outcome, now_s)
            case Hello():
                self.allotment.came(number, message, now_s)
            case Steer():
                self.allotment.steer(message)
            case _:
                raise MessageError(f"{type(message).__name__} is not for the limiter")

    def turn(self) -> None:
        """Grants what can be granted."""
        now_s = time.monotonic()
        again_s = self.allotment.turn(now_s)
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if again_s is not None and again_s < now_s + TICK_S:
            self._again = asyncio.get_running_loop().call_later(again_s - now_s, self.turn)

    async def ticks(self) -> None:
        """Asks again and again what has changed with time; returns when nobody has been there for long enough.

        The canary leaves by this clock alone, as users come. One that left when something had happened, as a batch that
        ended, would find the server free more often than they do.
        """
        while self._connections or time.monotonic() - self._alone_since_s < self._linger_s:
            await asyncio.sleep(TICK_S)
            if self._canary is None and (request := self.allotment.canary_to_send(time.monotonic())) is not None:
                self._canary = self.tasks.create_task(self._send_canary(request))
            self.turn()

    async def count(self) -> None:
        """Asks the server again and again how many requests it has answered."""
        while True:
            if (requests := await self._signals.requests()) is not None:
                self.allotment.counted(time.monotonic(), requests)
            self.allotment.troubled(self._signals.trouble)
            await asyncio.sleep(COUNT_EVERY_S)

    async def _send_canary(self, request: bytes) -> None:
        latency_s = await self._signals.canary(request)
        self._canary = None
        self.allotment.canary_answered(time.monotonic(), latency_s)
        self.allotment.troubled(self._signals.trouble)
        self.turn()


class Connection(asyncio.Protocol):
    """One connection, of a holder or an operator. Whoever says what makes no sense loses it, and nobody else does."""

    def __init__(self, limiter: Limiter, number: int) -> None:
        self.number = number
        self._limiter = limiter
        self._unread = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Lets in who has the same user."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        pid, user = peer_of(transport.get_extra_info("socket"))
        if user != os.getuid():
            self._limiter.log.note("refused", pid=pid, user=user)
            transport.abort()
            return
        self._limiter.came(self)

    def data_received(self, data: bytes) -> None:
        """Takes what has come, whole lines only."""
        searched = len(self._unread)
        self._unread += data
        end = self._unread.rfind(b"\n", searched)
        if end < 0 and len(self._unread) <= MOST_BYTES:
            return
        lines = bytes(self._unread[: end + 1]).splitlines()
        del self._unread[: end + 1]
        try:
            if len(self._unread) > MOST_BYTES:
                raise MessageError(f"a message of more than {MOST_BYTES} bytes")
            for line in lines:
                self._limiter.heard(self.number, parsed(line))
        except (MessageError, PermitError) as error:
            self._limiter.log.note("connection closed", error=str(error))
            self._transport.abort()
        self._limiter.turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """Its permits are free."""
        self._limiter.left(self)

    def write(self, line: bytes) -> None:
        """Sends a line."""
        self._transport.write(line)


if __name__ == "__main__":
    sys.exit(main())
