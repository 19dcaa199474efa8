"""A fake server that notes how many batches were in flight at once."""

from __future__ import annotations

from ray_pipeline.transport.base import Pending, Request, Tensors
from ray_pipeline.transport.fake import FakeTransport


class WatchedTransport(FakeTransport):
    """`most_in_flight` is the largest number of requests that were sent and not yet asked for their results."""

    in_flight = most_in_flight = 0

    def send(self, request: Request) -> Pending:
        """Counts the batch as in flight until its result is asked for."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return _WatchedPending(self, super().send(request))


class _WatchedPending:
    def __init__(self, transport: WatchedTransport, pending: Pending) -> None:
        self._transport, self._pending = transport, pending

    def result(self) -> Tensors:
        self._transport.in_flight -= 1
        return self._pending.result()
