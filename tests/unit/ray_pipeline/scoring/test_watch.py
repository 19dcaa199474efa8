from __future__ import annotations

import pytest

from ray_pipeline.errors import InferenceError, RetryableError
from ray_pipeline.scoring import watch
from ray_pipeline.scoring.watch import QueueWatch
from ray_pipeline.scoring.window import LEAST, Trip
from ray_pipeline.transport.base import Queued
from ray_pipeline.transport.fake import FakeTransport

BUSY = Trip(0.01, LEAST)
"""One of so many in flight that nothing else can be learned from it than that the server takes more."""


class Counting(FakeTransport):
    """Says what it is told to, one after the other."""

    def __init__(self, *said: Queued | InferenceError) -> None:
        super().__init__(lambda request: {})
        self.said = list(said)

    def queued(self, model: str, version: int) -> Queued:
        found = self.said.pop(0)
        if isinstance(found, InferenceError):
            raise found
        return found


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.0)


def size_after(*said: Queued | InferenceError) -> int:
    watching = QueueWatch(Counting(*said), "m", 1)
    for _ in said:
        watching.answered(BUSY)
    return watching.window.size


def test_the_window_learns_from_what_was_queued_between_two_looks() -> None:
    assert size_after(Queued(100, 50.0)) == LEAST
    assert size_after(Queued(100, 50.0), Queued(101, 50.0)) == LEAST + 1
    assert size_after(Queued(100, 50.0), Queued(104, 50.01)) == LEAST + 1
    assert size_after(Queued(100, 50.0), Queued(102, 50.01)) == LEAST
    assert size_after(Queued(100, 50.0), Queued(101, 50.01)) == LEAST


def test_a_server_that_was_started_again_or_does_not_say_changes_nothing() -> None:
    assert size_after(Queued(100, 50.0), Queued(1, 0.0)) == LEAST
    assert size_after(Queued(100, 50.0), RetryableError("away")) == LEAST
    assert size_after(Queued(100, 50.0), Queued(100, 50.0)) == LEAST


def test_between_looks_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 1000.0)
    server = Counting(Queued(0, 0.0), Queued(1, 0.0))
    watching = QueueWatch(server, "m", 1)
    for _ in range(5):
        watching.answered(BUSY)
    assert len(server.said) == 1
