"""A server in this process, for tests: a plain function stands for the model."""

from __future__ import annotations

import time
from collections.abc import Callable

from ray_pipeline.errors import InferenceError, RetryableError
from ray_pipeline.outcome import Outcome
from ray_pipeline.transport.base import Pending, Queued, Request, Tensors


class FakeTransport:
    """Answers each request with `answer(request)`; what that raises is raised by the pending result.

    `requests` holds all that were sent. Passes the same contract suite as the real transports.
    """

    def __init__(self, answer: Callable[[Request], Tensors]) -> None:
        self.address = "fake"
        self.requests: list[Request] = []
        self._answer = answer
        self._answered = 0

    def send(self, request: Request) -> Pending:
        """Answers at once; the result is handed out when it is asked for."""
        self.requests.append(request)
        sent_s = time.monotonic()
        try:
            answer = self._answer(request)
            self._answered += 1
            return _FakePending(answer, None, sent_s)
        except InferenceError as error:
            return _FakePending({}, error, sent_s)

    def check_ready(self, timeout_s: float) -> None:
        """It always is."""

    def queued(self, model: str, version: int) -> Queued:
        """Nothing waits here."""
        return Queued(self._answered, 0.0)

    def close(self) -> None:
        """Nothing to give back."""


class _FakePending:
    def __init__(self, tensors: Tensors, error: InferenceError | None, sent_s: float) -> None:
        self._tensors, self._error, self.sent_s = tensors, error, sent_s

    def when_answered(self, call: Callable[[float, Outcome], None]) -> None:
        if self._error is None:
            call(time.monotonic() - self.sent_s, "success")
        else:
            call(time.monotonic() - self.sent_s, "dropped" if isinstance(self._error, RetryableError) else "ignored")

    def result(self) -> Tensors:
        if self._error is not None:
            raise self._error
        return self._tensors
