"""What an actor sees of its batches and of the server, counted for the chunk that it scores and for Ray's metrics."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left

from ray_pipeline.sharing.limit import Limit
from ray_pipeline.telemetry import metrics
from ray_pipeline.telemetry.course import Batches, BatchSeen, CanarySeen, LimitSeen
from ray_pipeline.telemetry.meter import Meter, NoMeter


class Tally:
    """What an actor sees of all its chunks, from any thread. `each` keeps every batch."""

    def __init__(self, meter: Meter | None = None, *, each: bool = False) -> None:
        self.meter: Meter = meter or NoMeter()
        self.keeps_each = each
        self._lock = threading.Lock()
        self._in_flight = 0
        self._limits: list[LimitSeen] = []
        self._canaries: list[CanarySeen] = []

    def chunk(self) -> ChunkTally:
        """One for a chunk that begins now."""
        return ChunkTally(self)

    def limited(self, limit: Limit) -> None:
        """Something else holds at the server now."""
        batch_s = None if math.isinf(limit.batch_s) else limit.batch_s
        with self._lock:
            self._limits.append(LimitSeen(round(time.time(), 3), limit.in_flight, batch_s, limit.cause))
        self.meter.set(metrics.LIMIT_BATCHES, limit.in_flight)
        self.meter.set(metrics.LIMIT_SECONDS, limit.batch_s)
        self.meter.add(metrics.LIMIT_CHANGES, 1)

    def canary(self, took_s: float, *, silent: bool) -> None:
        """A request like that of a user has been answered."""
        with self._lock:
            self._canaries.append(CanarySeen(round(time.time(), 3), round(took_s, 6), silent))
        self.meter.observe(metrics.ONLINE_SECONDS, took_s, bulk="silent" if silent else "running")

    def heard(self) -> tuple[tuple[LimitSeen, ...], tuple[CanarySeen, ...]]:
        """The limits and canaries since the last call."""
        with self._lock:
            found = tuple(self._limits), tuple(self._canaries)
            self._limits, self._canaries = [], []
        return found

    def in_flight(self, more: int) -> None:
        """So many batches more are at the server, or fewer."""
        with self._lock:
            self._in_flight += more
            self.meter.set(metrics.IN_FLIGHT, self._in_flight)


class ChunkTally:
    """Counts the batches of one chunk, for the thread that scores it."""

    def __init__(self, of: Tally) -> None:
        self._all, self._meter = of, of.meter
        self._count = self._sent_again = self._refused = self._bytes = 0
        self._permit_s = 0.0
        self._seconds = [0] * (len(metrics.SECONDS) + 1)
        self._rows = [0] * (len(metrics.ROWS) + 1)
        self._each: list[BatchSeen] = []

    def sent(self, model: str, rows: int, size_bytes: int, permit_s: float) -> None:
        """A batch is at the server, after it has waited `permit_s` seconds for its permit."""
        self._count += 1
        self._bytes += size_bytes
        self._permit_s += permit_s
        self._rows[bisect_left(metrics.ROWS, rows)] += 1
        self._all.in_flight(1)
        self._meter.observe(metrics.BATCH_ROWS, rows, model=model)
        self._meter.add(metrics.BATCH_BYTES, size_bytes, model=model)

    def answered(self, model: str, rows: int, took_s: float, permit_s: float) -> None:
        """A batch was answered at once."""
        self._seconds[bisect_left(metrics.SECONDS, took_s)] += 1
        if self._all.keeps_each:
            self._each.append(BatchSeen(time.time() - took_s, permit_s, took_s, rows))
        self._meter.observe(metrics.BATCH_SECONDS, took_s, model=model)
        self._ended(model, "answered")

    def sent_again(self, model: str) -> None:
        """A batch got no answer, as its server was away or had no room, and has to be sent again."""
        self._sent_again += 1
        self._ended(model, "sent_again")

    def refused(self, model: str) -> None:
        """The server does not take a batch."""
        self._refused += 1
        self._ended(model, "refused")

    def taken(self) -> Batches:
        """All of the chunk, and what the actor has heard since it was last asked."""
        limits, canaries = self._all.heard()
        return Batches(
            count=self._count,
            sent_again=self._sent_again,
            refused=self._refused,
            bytes=self._bytes,
            permit_s=round(self._permit_s, 6),
            seconds=tuple(self._seconds),
            rows=tuple(self._rows),
            limits=limits,
            canaries=canaries,
            each=tuple(self._each),
        )

    def _ended(self, model: str, outcome: str) -> None:
        self._all.in_flight(-1)
        self._meter.add(metrics.BATCHES, 1, model=model, outcome=outcome)
