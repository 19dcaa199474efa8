"""A server that is started again each time that it dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_models.errors import RaytonError
from triton_models.server.lives import Lives
from triton_models.server.process import NodeServer


@dataclass(frozen=True)
class Again:
    """What came of `deaths`, of which starts that fail are some: another `server`, or None: it is given up.

    `failure` is why the last start failed, if it did.
    """

    server: NodeServer | None
    deaths: int
    failure: Exception | None = None


def kept_alive(
    server: NodeServer,
    start: Callable[[], NodeServer],
    wait: Callable[[NodeServer], object],
    pause: Callable[[float], bool],
) -> Iterator[Again]:
    """Waits for a server's death, starts it again, and so on; the end is a server that is given up.

    `wait` returns when a server has ended. `pause` waits for so many seconds before a start, and gives whether no other
    is wanted: that is an end, too.
    """
    lives, deaths = Lives(), 0
    while True:
        since_s = time.monotonic()
        wait(server)
        pause_s = lives.pause_s(time.monotonic() - since_s)
        deaths += 1
        failure = None
        while pause_s is not None:
            if pause(pause_s):
                return
            try:
                server = start()
            except (RaytonError, OSError) as error:
                deaths, failure = deaths + 1, error
                pause_s = lives.pause_s(None)
            else:
                break
        else:
            yield Again(None, deaths, failure)
            return
        yield Again(server, deaths)
