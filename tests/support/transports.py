"""Fake servers that note how many batches were in flight at once, that are slow, and that die of some requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ray_pipeline.errors import RetryableError
from ray_pipeline.outcome import Outcome
from ray_pipeline.transport.base import Pending, Request, Tensors
from ray_pipeline.transport.fake import FakeTransport


class WatchedTransport(FakeTransport):
    """`most_in_flight` is the largest number of requests that were sent, from any thread, and not yet handed out."""

    def __init__(self, answer: Callable[[Request], Tensors]) -> None:
        super().__init__(answer)
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()

    def send(self, request: Request) -> Pending:
        """Counts the batch as in flight until its result is handed out."""
        pending = super().send(request)
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return _WatchedPending(self, pending)

    def hand_out(self) -> None:
        """One less is in flight."""
        with self._lock:
            self.in_flight -= 1


class _WatchedPending:
    def __init__(self, transport: WatchedTransport, pending: Pending) -> None:
        self._transport, self._pending, self.sent_s = transport, pending, pending.sent_s

    def when_answered(self, call: Callable[[float, Outcome], None]) -> None:
        self._pending.when_answered(call)

    def result(self) -> Tensors:
        self._transport.hand_out()
        return self._pending.result()


class SlowTransport(WatchedTransport):
    """Hands answers out from when `may_answer` is set; `came` tells of each request."""

    def __init__(self, answer: Callable[[Request], Tensors]) -> None:
        super().__init__(answer)
        self.may_answer, self.came = threading.Event(), threading.Semaphore(0)

    def send(self, request: Request) -> Pending:
        """Tells that it came."""
        pending = super().send(request)
        self.came.release()
        return pending

    def hand_out(self) -> None:
        """Not before it may be."""
        self.may_answer.wait()
        super().hand_out()


class MortalTransport(FakeTransport):
    """A server that dies of each request of which `lethal` is true, and is back when it is looked for once more.

    What was in flight is lost with it. `deaths` counts.
    """

    def __init__(self, answer: Callable[[Request], Tensors], lethal: Callable[[Request], bool]) -> None:
        super().__init__(answer)
        self.deaths = 0
        self._lethal, self._is_down = lethal, False

    def check_ready(self, timeout_s: float) -> None:
        """Once after each death it is not."""
        if self._is_down:
            self._is_down = False
            raise self._lost()

    def send(self, request: Request) -> Pending:
        """What is sent reaches the server when a result is asked for, after what was sent before."""
        return _MortalPending(self, request, self.deaths)

    def answered(self, request: Request, sent_to_life: int) -> Tensors:
        """The answer, if the server lives that long."""
        if sent_to_life == self.deaths and self._lethal(request):
            self.deaths, self._is_down = self.deaths + 1, True
        if sent_to_life != self.deaths:
            raise self._lost()
        return super().send(request).result()

    def _lost(self) -> RetryableError:
        return RetryableError("server fake: Socket closed (UNAVAILABLE)")


class _MortalPending:
    def __init__(self, transport: MortalTransport, request: Request, life: int) -> None:
        self._transport, self._request, self._life = transport, request, life
        self._call: Callable[[float, Outcome], None] = lambda took_s, outcome: None
        self.sent_s = time.monotonic()

    def when_answered(self, call: Callable[[float, Outcome], None]) -> None:
        """Nothing reaches this server before its result is asked for."""
        self._call = call

    def result(self) -> Tensors:
        try:
            answer = self._transport.answered(self._request, self._life)
        except RetryableError:
            self._call(time.monotonic() - self.sent_s, "dropped")
            raise
        self._call(time.monotonic() - self.sent_s, "success")
        return answer
