"""The side of an actor: permits from the limiter of its node, whatever becomes of the limiter."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ray_pipeline.errors import FatalError, RetryableError
from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.connection import Connection, log_file_of
from ray_pipeline.sharing.limit import Limit
from ray_pipeline.sharing.listener import Listener
from ray_pipeline.sharing.messages import Canary, Give, Granted, Hello, MessageError, Steer, Take
from ray_pipeline.sharing.permits import PermitError
from triton_models.server.credentials import NONE, Credentials

LINGER_S = 3.0
PATIENCE_S = 20.0
AGAIN_S = 0.25
LOOK_EVERY_S = 2.0
_DEATHS = 5
_LONG_LIFE_S = 10.0


@dataclass
class _Asked:
    take: Take
    answered: threading.Event = field(default_factory=threading.Event)
    failure: str | None = None


class Permit:
    """The right to have one batch in flight, until it is given back."""

    def __init__(self, holder: Holder, number: int) -> None:
        self._holder, self._number = holder, number

    def give(self, took_s: float, outcome: Outcome) -> None:
        """Gives it back, from any thread, with the seconds that the batch took and how it ended.

        Raises PermitError the second time, ValueError for seconds that are none.
        """
        self._holder._give(Give(self._number, took_s, outcome))


class Holder:
    """A job's connection to the limiter of a node server; all its methods may be called from any thread.

    The limiter is started if it is not there. When it dies, nobody gets a permit until there is another, which hears of
    the permits in use. `home` is Rayton's folder, for the limiter's log; the `listener` hears what the limiter says;
    `linger_s` is how long a limiter that is started here stays after its last holder. Raises FatalError if there is
    no limiter to be had in `patience_s`; later, `take` raises it. `credentials` are for a limiter that is started here
    to show to the server.
    """

    def __init__(
        self,
        address: str,
        hello: Hello,
        home: Path,
        listener: Listener,
        *,
        linger_s: float = LINGER_S,
        patience_s: float = PATIENCE_S,
        credentials: Credentials = NONE,
    ) -> None:
        self._address, self._hello, self._home, self._listener = address, hello, home, listener
        self._linger_s, self._patience_s, self._credentials = linger_s, patience_s, credentials
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._asked: dict[int, _Asked] = {}
        self._held: set[int] = set()
        self._steer: Steer | None = None
        self._failure: str | None = None
        self._connection: Connection | None = None
        self._closing = threading.Event()
        self._follow(self._registered())
        self._reader = threading.Thread(target=self._read, name=f"limiter of {address}", daemon=True)
        self._reader.start()

    @property
    def limit(self) -> Limit:
        """What the limiter said last."""
        return self._limit

    def take(self, expected_s: float, look: Callable[[], None] = lambda: None) -> Permit:
        """Waits for a permit for a batch that is expected to run `expected_s` seconds.

        While the limit is 0 and not by hand, it may be because the server is away: now and then `look` is called,
        which may raise what ends the waiting. Raises FatalError if there is no limiter to be had, or `close` is called
        meanwhile; ValueError for seconds that are none.
        """
        asked = _Asked(Take(next(self._numbers), expected_s))
        number = asked.take.number
        with self._lock:
            if self._failure is not None:
                raise FatalError(self._failure)
            self._asked[number] = asked
            self._send(asked.take)
        try:
            while not asked.answered.wait(LOOK_EVERY_S):
                if self._limit.in_flight == 0 and not (self._steer and self._steer.paused):
                    look()
        except BaseException:
            with suppress(PermitError):  # nobody can answer any more
                self._give(Give(number, 0.0, "ignored"))
            raise
        if asked.failure is not None:
            raise FatalError(asked.failure)
        return Permit(self, number)

    def steer(self, *, paused: bool, most_in_flight: int | None = None) -> None:
        """Pauses this job at this node, or limits its batches in flight, until something else is said."""
        with self._lock:
            self._steer = Steer(self._hello.job, paused, most_in_flight)
            self._send(self._steer)

    def close(self) -> None:
        """Ends the connection: permits in use are free, whoever waits for one gets FatalError."""
        self._closing.set()
        self._fail(f"the connection to the limiter of {self._address} was closed")
        with self._lock:
            if self._connection is not None:
                self._connection.hang_up()
        self._reader.join()

    def _give(self, message: Give) -> None:
        with self._lock:
            if message.number not in self._held and message.number not in self._asked:
                raise PermitError(f"permit {message.number} was given back twice")
            self._held.discard(message.number)
            self._asked.pop(message.number, None)
            self._send(message)

    def _send(self, message: Give | Steer | Take) -> None:
        if self._connection is not None:
            self._connection.send(message)

    def _read(self) -> None:
        """Takes what the limiter says, and finds another one when it is gone."""
        deaths = 0
        try:
            while True:
                lived = self._read_to_the_end()
                self._drop_connection()
                if self._closing.is_set():
                    return
                deaths = 0 if lived else deaths + 1
                if deaths >= _DEATHS:
                    raise FatalError(f"the limiter of {self._address} died {deaths} times in a row; {self._see_log}")
                gone = "the limiter is gone; another one is looked for"
                self._follow(replace(self._limit, in_flight=0, cause=gone, users_online=True))
                self._follow(self._registered())
        except FatalError as error:
            self._fail(str(error))
        finally:
            self._drop_connection()
            self._fail(f"the connection to the limiter of {self._address} has ended")  # if nobody knows better

    def _read_to_the_end(self) -> bool:
        """Reads until the limiter is gone; gives whether it was of any use."""
        connection, began_s, lived = self._connection, time.monotonic(), False
        assert connection is not None
        try:
            while (message := connection.receive()) is not None:
                if isinstance(message, Granted):
                    self._granted(message.number)
                    lived = True
                elif isinstance(message, Limit):
                    self._follow(message)
                elif isinstance(message, Canary):
                    self._listener.canary(message.took_s, silent=message.silent)
                else:
                    raise MessageError(f"{type(message).__name__} is not for a holder")
        except MessageError as error:
            raise self._unlike(error) from error
        return lived or time.monotonic() - began_s > _LONG_LIFE_S

    def _follow(self, limit: Limit) -> None:
        self._limit = limit
        self._listener.limited(limit)

    def _granted(self, number: int) -> None:
        with self._lock:
            asked = self._asked.pop(number, None)
            if asked is not None:  # or it is not wanted any more, and given back
                self._held.add(number)
                asked.answered.set()

    def _registered(self) -> Limit:
        """Connects and says what this holder has and waits for; gives what the limiter says to that."""
        ends_s = time.monotonic() + self._patience_s
        while True:
            left_s = max(ends_s - time.monotonic(), AGAIN_S)
            try:
                return self._register(left_s)
            except RetryableError as error:
                self._drop_connection()
                if self._closing.wait(AGAIN_S) or time.monotonic() > ends_s:
                    raise FatalError(f"{error}; tried for {self._patience_s:g} s; {self._see_log}") from error
            except BaseException:
                self._drop_connection()
                raise

    def _register(self, timeout_s: float) -> Limit:
        connection = Connection.open(self._address, self._home, self._linger_s, timeout_s, self._credentials)
        with self._lock:
            self._connection = connection
            connection.send(replace(self._hello, held=tuple(self._held)), *([self._steer] if self._steer else []))
            connection.send(*(asked.take for asked in self._asked.values()))
            if self._closing.is_set():  # by somebody who saw no connection to end
                connection.hang_up()
        try:
            answer = connection.receive(timeout_s)
        except TimeoutError as error:
            raise RetryableError(f"the limiter of {self._address} did not answer") from error
        except MessageError as error:
            raise self._unlike(error) from error
        if not isinstance(answer, Limit):
            raise RetryableError(f"the limiter of {self._address} closed the connection")
        return answer

    def _drop_connection(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _fail(self, why: str) -> None:
        with self._lock:
            self._failure = self._failure or why
            for asked in self._asked.values():
                asked.failure = self._failure
                asked.answered.set()
            self._asked.clear()

    @property
    def _see_log(self) -> str:
        return f"its log is {log_file_of(self._address, self._home)}; run the job again when that is mended"

    def _unlike(self, error: MessageError) -> FatalError:
        return FatalError(
            f"the limiter of {self._address} is not of this version of Rayton: {error}; it ends by itself after the "
            f"jobs that use it: run this one again then"
        )
