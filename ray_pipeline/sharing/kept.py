"""A limiter that is there as long as a job is, whoever kills it."""

from __future__ import annotations

import queue
import threading
from pathlib import Path

from ray_pipeline.sharing.connection import Connection
from ray_pipeline.sharing.holder import AGAIN_S, LINGER_S, PATIENCE_S
from triton_models.errors import RaytonError
from triton_models.server.credentials import NONE, Credentials


class KeptLimiter:
    """Starts the limiter of a server, and another one each time that it is gone; to be made before a job steps back.

    The thread that does so has not stepped back then, and neither have those whom it starts. Actors start a limiter
    where there is none, too; but one of theirs, where their user may not step forward again, is as slow to notice
    users as the job is.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._wanted: queue.SimpleQueue[tuple[str, Credentials] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="limiter", daemon=True)
        self._thread.start()

    def keep(self, address: str, credentials: Credentials = NONE) -> None:
        """From now on there is a limiter of the server at this address. If none can be had, actors say so."""
        self._wanted.put((address, credentials))

    def close(self) -> None:
        """The limiter may end, after its last holder."""
        self._over.set()
        self._wanted.put(None)
        with self._lock:
            if self._connection is not None:
                self._connection.hang_up()
        self._thread.join()

    def _run(self) -> None:
        if (wanted := self._wanted.get()) is None:
            return
        address, credentials = wanted
        while not self._over.is_set():
            try:
                self._watch(Connection.open(address, self._home, LINGER_S, PATIENCE_S, credentials))
            except RaytonError:
                self._over.wait(AGAIN_S)

    def _watch(self, connection: Connection) -> None:
        """Stays connected until the limiter is gone, or is no longer wanted."""
        with self._lock:
            self._connection = connection
            if self._over.is_set():
                connection.hang_up()
        try:
            while connection.receive() is not None:
                pass
        finally:
            with self._lock:
                self._connection = None
                connection.close()
