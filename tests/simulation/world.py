"""A server, its users, bulk and the limiter between them, on a clock of their own.

The server is like Triton on processors: instances that run one batch at a time and cannot be interrupted, one queue,
and users' rows that wait together run as one batch. Its times are those of MiniLM at 64 tokens on two cores.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.limit import UNLIMITED, Limit
from ray_pipeline.sharing.pace import Pace

FIXED_S, ROW_S = 0.0025, 0.0062
MOST_ROWS = 32
COUNT_EVERY_S, TICK_S = 0.25, 0.01
CLIENT_S = 0.001


class Controls(Protocol):
    """What holds bulk back; `Controller`, or nothing at all."""

    def canary_due(self, now_s: float) -> bool: ...
    def canary_sent(self, now_s: float) -> None: ...
    def canary_answered(self, now_s: float, latency_s: float | None) -> None: ...
    def batch_sent(self, now_s: float) -> None: ...
    def batch_answered(self, now_s: float, seconds: float, outcome: Outcome) -> None: ...
    def counted(self, now_s: float, requests: int) -> None: ...
    def limit(self, now_s: float) -> Limit: ...


class Exclusive:
    """Bulk may do what it likes."""

    def canary_due(self, now_s: float) -> bool:
        return False

    def canary_sent(self, now_s: float) -> None: ...

    def canary_answered(self, now_s: float, latency_s: float | None) -> None: ...

    def batch_sent(self, now_s: float) -> None: ...

    def batch_answered(self, now_s: float, seconds: float, outcome: Outcome) -> None: ...

    def counted(self, now_s: float, requests: int) -> None: ...

    def limit(self, now_s: float) -> Limit:
        return Limit(UNLIMITED, math.inf, "exclusive")


@dataclass(frozen=True)
class Machine:
    """How fast a server is: seconds of a batch are `(fixed + rows x row) x slowness(now)`, times a lognormal noise.

    With several instances each has fewer threads, and two that run at once are a little slower.
    """

    instances: int = 1
    fixed_s: float = FIXED_S
    row_s: float = ROW_S
    noise: float = 0.1
    slowness: Callable[[float], float] = lambda now_s: 1.0

    def seconds(self, rows: int, now_s: float, others: int, random: np.random.Generator) -> float:
        times = self.slowness(now_s) * (1.05 if others else 1.0) * self._fewer_threads
        return (self.fixed_s + rows * self.row_s) * times * float(random.lognormal(0, self.noise))

    @property
    def one_row_s(self) -> float:
        """The time of a user's row that meets nobody."""
        return (self.fixed_s + self.row_s) * self._fewer_threads

    @property
    def _fewer_threads(self) -> float:
        return 1.9 if self.instances > 1 else 1.0


@dataclass
class Asked:
    """A request, and what is to be done with its answer: its latency, or None where it was dropped."""

    kind: str
    rows: int
    sent_s: float
    done: Callable[[float, float | None], None]


@dataclass
class Seen:
    """What came of it all: users' arrivals and latencies, rows of bulk by moment, limits by moment."""

    users: list[tuple[float, float]] = field(default_factory=list)
    bulk: list[tuple[float, int]] = field(default_factory=list)
    limits: list[tuple[float, Limit]] = field(default_factory=list)
    most_in_flight: int = 0

    def quantile(self, quantile: float, since_s: float = 0.0, until_s: float = math.inf) -> float:
        """Of the users' latencies, in seconds."""
        return float(np.quantile([x for moment, x in self.users if since_s <= moment < until_s], quantile))

    def silent_share(self, since_s: float, until_s: float) -> float:
        """The part of a span of time in which bulk might send nothing."""
        ends = [*(moment for moment, _ in self.limits[1:]), math.inf]
        spans = [(moment, end) for (moment, limit), end in zip(self.limits, ends, strict=True) if limit.in_flight == 0]
        return sum(max(0.0, min(end, until_s) - max(moment, since_s)) for moment, end in spans) / (until_s - since_s)

    def rate(self, since_s: float, until_s: float) -> float:
        """Rows a second of bulk."""
        return sum(rows for moment, rows in self.bulk if since_s <= moment < until_s) / (until_s - since_s)


class World:
    """Runs everything until `seconds`. `arrivals` are the moments at which users come."""

    def __init__(
        self,
        controls: Controls,
        machine: Machine,
        arrivals: Iterable[float],
        seconds: float,
        seed: int = 0,
        *,
        bulk: bool = True,
    ) -> None:
        self.controls, self.machine, self.seconds = controls, machine, seconds
        self.seen = Seen()
        self.down = False
        self.blind: Callable[[float], bool] = lambda now: False
        self.lie: Callable[[float, float | None], float | None] = lambda now, seconds: seconds
        self._random = np.random.default_rng(seed)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0
        self._queue: deque[Asked] = deque()
        self._running = 0
        self._counted = 0
        self.in_flight = 0
        self._pace = Pace()
        self._resting = not bulk
        for moment in arrivals:
            self.at(moment, self._user)

    def at(self, moment: float, event: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (moment, self._number, event))

    def run(self) -> Seen:
        self.at(0.0, self._tick)
        self.at(0.0, self._count)
        while self._events and self._events[0][0] < self.seconds:
            now, _, event = heapq.heappop(self._events)
            event(now)
            self._look(now)
        return self.seen

    def restart(self, now: float, away_s: float) -> None:
        """The server dies, drops what it had, and counts from 0 when it is back."""
        self.down, self._counted = True, 0
        dropped, self._queue = self._queue, deque()
        for asked in dropped:
            asked.done(now, None)
        self.at(now + away_s, self._back)

    def _back(self, now: float) -> None:
        self.down = False

    def _tick(self, now: float) -> None:
        """A canary leaves by the clock: one that left with a user's request would meet more users than others do."""
        if self.controls.canary_due(now):
            self.controls.canary_sent(now)
            self._ask(Asked("canary", 1, now, self._canary_answered), now)
        self.at(now + TICK_S, self._tick)

    def _count(self, now: float) -> None:
        if not self.down and not self.blind(now):
            self.controls.counted(now, self._counted)
        self.at(now + COUNT_EVERY_S, self._count)

    def _user(self, now: float) -> None:
        self._ask(Asked("user", 1, now, lambda _, seconds: self._user_answered(now, seconds)), now)

    def _user_answered(self, arrived: float, seconds: float | None) -> None:
        if seconds is not None:
            self.seen.users.append((arrived, seconds))

    def _look(self, now: float) -> None:
        limit = self.controls.limit(now)
        if not self.seen.limits or self.seen.limits[-1][1] is not limit:
            self.seen.limits.append((now, limit))
        most = min(limit.in_flight, self.machine.instances + 1)
        while not self._resting and self.in_flight < most:
            self._send_batch(now, limit)

    def _canary_answered(self, now: float, seconds: float | None) -> None:
        self.controls.canary_answered(now, self.lie(now, seconds))

    def _send_batch(self, now: float, limit: Limit) -> None:
        rows = MOST_ROWS if math.isinf(limit.batch_s) else min(self._pace.rows(1, limit.batch_s), MOST_ROWS)
        self.in_flight += 1
        self.seen.most_in_flight = max(self.seen.most_in_flight, self.in_flight)
        self.controls.batch_sent(now)
        self._ask(Asked("bulk", rows, now, lambda at, seconds: self._batch_answered(at, seconds, rows)), now)

    def _batch_answered(self, now: float, seconds: float | None, rows: int) -> None:
        self.in_flight -= 1
        self.controls.batch_answered(now, seconds or 0.0, "success" if seconds is not None else "dropped")
        if seconds is not None:
            self.seen.bulk.append((now, rows))
            self._pace.learn(rows, seconds)
        self._resting = True
        self.at(now + CLIENT_S, self._rested)

    def _rested(self, now: float) -> None:
        self._resting = False

    def _ask(self, asked: Asked, now: float) -> None:
        if self.down:
            self.at(now + CLIENT_S, lambda at: asked.done(at, None))
            return
        self._queue.append(asked)
        self._serve(now)

    def _serve(self, now: float) -> None:
        while self._queue and self._running < self.machine.instances:
            together = [self._queue.popleft()]
            if together[0].kind != "bulk":
                together += [asked for asked in self._queue if asked.kind != "bulk"]
                self._queue = deque(asked for asked in self._queue if asked.kind == "bulk")
            rows = sum(asked.rows for asked in together)
            seconds = self.machine.seconds(rows, now, self._running, self._random)
            self._running += 1
            self.at(now + seconds, partial(self._finished, batch=together))

    def _finished(self, now: float, batch: Sequence[Asked]) -> None:
        self._running -= 1
        for asked in batch:
            if self.down:
                asked.done(now, None)
                continue
            self._counted += 1
            asked.done(now, now - asked.sent_s)
        self._serve(now)


def poisson(rate: Callable[[float], float] | float, seconds: float, seed: int, most: float = 200.0) -> list[float]:
    """Moments of users who know nothing of each other, at a rate that may change (by thinning)."""
    random = np.random.default_rng(seed)
    rate_at = rate if callable(rate) else lambda _: rate
    moments = np.cumsum(random.exponential(1 / most, int(2 * most * seconds) + 100))
    moments = moments[moments < seconds]
    keep = random.random(len(moments)) < [rate_at(moment) / most for moment in moments]
    return [float(moment) for moment in moments[keep]]
