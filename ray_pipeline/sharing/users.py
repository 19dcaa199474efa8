"""Who is online, told from what a server counts of all requests together."""

from __future__ import annotations

from collections import deque

FAST_S, SLOW_S = 1.0, 5.0
ONLINE_S = 2.0
"""Somebody is online for so long after the last request."""


class Users:
    """The requests of others at a server: all that it has counted, less our own.

    Our own are taken off when they are sent and not when they are answered, so that none of them is ever taken for a
    user's: what is left is a lower bound that is too low by at most what is in flight, and each time that it grows
    beyond all that it was, somebody else has asked.
    """

    def __init__(self) -> None:
        self._sent = self._in_flight = 0
        self._counted: int | None = None
        self._others = 0
        self._seen: deque[tuple[float, int]] = deque()
        self._since_s = 0.0

    def sent(self) -> None:
        """One of our requests is on its way."""
        self._sent += 1
        self._in_flight += 1

    def answered(self, *, counted: bool) -> None:
        """One of ours has ended; servers count what succeeds."""
        self._in_flight -= 1
        if not counted:
            self._sent -= 1

    def counted(self, now_s: float, requests: int) -> bool:
        """Takes the number of all requests that the server has answered since it was started.

        Gives whether it counts anew: it was started, or is asked for the first time.
        """
        anew = self._counted is None or requests < self._counted
        self._counted = requests
        if anew:
            self._sent, self._others, self._since_s = self._in_flight, requests, now_s
            self._seen.clear()
        elif (more := requests - self._sent - self._others) > 0:
            self._seen.append((now_s, more))
            self._others += more
        while self._seen and self._seen[0][0] < now_s - SLOW_S:
            self._seen.popleft()
        return anew

    def rate(self, now_s: float, span_s: float) -> float:
        """Requests a second of users over the last `span_s` seconds, `SLOW_S` at most."""
        span_s = min(span_s, max(now_s - self._since_s, 0.25))
        return self._count(now_s, span_s) / span_s

    def anybody(self, now_s: float) -> bool:
        """Whether somebody asked in the last seconds."""
        return self._count(now_s, ONLINE_S) > 0

    def _count(self, now_s: float, span_s: float) -> int:
        return sum(requests for moment, requests in self._seen if moment >= now_s - span_s)
