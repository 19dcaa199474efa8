"""Watches how long a model's batches wait at their server, and sets the window by it."""

from __future__ import annotations

import threading
import time

from ray_pipeline.errors import InferenceError
from ray_pipeline.scoring.window import Trip, Window
from ray_pipeline.transport.base import Queued, Transport

LOOK_EVERY_S = 0.25


class QueueWatch:
    """Collects the round trips of one model's batches; now and then it asks the server how long they were queued.

    Batches of others, such as those of online users, count in what the server says as if they were ours. Any thread may
    tell of a batch.
    """

    def __init__(self, transport: Transport, model: str, version: int) -> None:
        self.window = Window()
        self._transport, self._model, self._version = transport, model, version
        self._trips: list[Trip] = []
        self._before: Queued | None = None
        self._next_look_s = 0.0
        self._lock = threading.Lock()

    def answered(self, trip: Trip) -> None:
        """Takes a batch that was answered at the first attempt."""
        with self._lock:
            self._trips.append(trip)
            if time.monotonic() >= self._next_look_s:
                self._look()
                self._next_look_s = time.monotonic() + LOOK_EVERY_S

    def _look(self) -> None:
        trips, self._trips = self._trips, []
        try:
            now = self._transport.queued(self._model, self._version)
        except InferenceError:
            return  # the next batch will tell what is wrong; until then the window stays as it is
        before, self._before = self._before, now
        # A server that was started again counts from 0.
        if before is not None and now.requests > before.requests and now.seconds >= before.seconds:
            self.window.learn(trips, (now.seconds - before.seconds) / (now.requests - before.requests))
