"""Permits of a job that has its server to itself: as many as its operator lets it have."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.limit import BY_HAND, UNLIMITED, Limit
from ray_pipeline.sharing.listener import Listener

PAUSED = Limit(0, 0.0, BY_HAND)


class Gate:
    """Open, until it is steered; all its methods may be called from any thread. A permit is the gate itself.

    The `listener` hears of each limit.
    """

    def __init__(self, listener: Listener) -> None:
        self._changed = threading.Condition()
        self._listener = listener
        self._limit = _open(UNLIMITED)
        listener.limited(self._limit)
        self._in_flight = 0

    @property
    def limit(self) -> Limit:
        """What holds now."""
        return self._limit

    def steer(self, *, paused: bool, most_in_flight: int | None = None) -> None:
        """Pauses the job, or limits its batches in flight, until something else is said."""
        with self._changed:
            self._limit = PAUSED if paused else _open(UNLIMITED if most_in_flight is None else most_in_flight)
            self._changed.notify_all()
        self._listener.limited(self._limit)

    def take(self, expected_s: float, look: Callable[[], None] = lambda: None) -> Gate:
        """Waits until another batch may be in flight. Nothing is to be looked after: it is closed by hand alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight < self._limit.in_flight)
            self._in_flight += 1
        return self

    def give(self, took_s: float, outcome: Outcome) -> None:
        """A batch has ended."""
        with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()


def _open(in_flight: int) -> Limit:
    return Limit(in_flight, math.inf, "the server is the job's own")
