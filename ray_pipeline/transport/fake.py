"""A server in this process, for tests: a plain function stands for the model."""

from __future__ import annotations

from collections.abc import Callable

from ray_pipeline.errors import InferenceError
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
        try:
            answer = self._answer(request)
            self._answered += 1
            return _FakePending(answer, None)
        except InferenceError as error:
            return _FakePending({}, error)

    def check_ready(self, timeout_s: float) -> None:
        """It always is."""

    def queued(self, model: str, version: int) -> Queued:
        """Nothing waits here."""
        return Queued(self._answered, 0.0)

    def close(self) -> None:
        """Nothing to give back."""


class _FakePending:
    def __init__(self, tensors: Tensors, error: InferenceError | None) -> None:
        self._tensors, self._error = tensors, error

    def result(self) -> Tensors:
        if self._error is not None:
            raise self._error
        return self._tensors
