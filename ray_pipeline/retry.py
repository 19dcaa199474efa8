"""Waiting for a server that may come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import stamina

from ray_pipeline.errors import RetryableError, ServerAwayError, ServerDiedError
from ray_pipeline.transport.base import Request, Tensors, Transport

_Answer = TypeVar("_Answer")
_LONGEST_PAUSE_S = 5.0


def waited_for(attempt: Callable[[], _Answer], timeout_s: float) -> _Answer:
    """Repeats `attempt` while it raises RetryableError, with growing, jittered pauses, for `timeout_s` at most.

    Raises ServerAwayError, saying how long it was tried, when the time is over. Other errors pass through at once.
    """
    tries = 0
    try:
        for again in stamina.retry_context(
            on=RetryableError, attempts=None, timeout=timeout_s, wait_max=_LONGEST_PAUSE_S
        ):
            with again:
                tries += 1
                return attempt()
    except RetryableError as error:
        raise ServerAwayError(f"{error}; tried {tries} times over {timeout_s:g} s. Is the server running?") from error
    raise AssertionError("stamina ends by returning or raising")


class Again:
    """Sends requests to a server again, from any thread, one after the other: what a server dies of is known then.

    The server is waited for, `timeout_s` at most.
    """

    def __init__(self, transport: Transport, timeout_s: float) -> None:
        self._transport, self._timeout_s = transport, timeout_s
        self._one_at_a_time = threading.Lock()

    def answer(self, request: Request, deaths: int) -> Tensors:
        """The answer to a request that got none: its server was gone, or had no room.

        The server gets it as soon as it is ready. If it is gone once more it may have died of the request: after
        `deaths` such ends ServerDiedError is raised. Raises ServerAwayError as `waited_for` does, and what else the
        request comes to.
        """
        with self._one_at_a_time:
            died: _ServerGoneError | None = None
            for _ in range(deaths):
                waited_for(lambda: self._transport.check_ready(self._timeout_s), self._timeout_s)
                try:
                    return waited_for(lambda: _answer(self._transport, request, self._timeout_s), self._timeout_s)
                except _ServerGoneError as gone:
                    died = gone
            raise ServerDiedError(
                f"server {self._transport.address} was ready, got this request and died, {deaths} times: {died}"
            ) from died


class _ServerGoneError(Exception):
    """It did not answer, and is not there any more."""


def _answer(transport: Transport, request: Request, timeout_s: float) -> Tensors:
    try:
        return transport.send(request).result()
    except RetryableError as lost:
        try:
            transport.check_ready(timeout_s)
        except RetryableError:
            raise _ServerGoneError(str(lost)) from lost
        raise
