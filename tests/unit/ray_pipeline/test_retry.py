from __future__ import annotations

from collections.abc import Iterator

import pytest
import stamina

from ray_pipeline.errors import FatalError, RefusedError, RetryableError
from ray_pipeline.retry import waited_for

TIMEOUT_S = 0.05


@pytest.fixture
def without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=5):
        yield


class Attempts:
    """Raises `error` until the given try."""

    def __init__(self, error: Exception, succeeds_at: int | None = None) -> None:
        self.error, self.succeeds_at, self.tries = error, succeeds_at, 0

    def __call__(self) -> str:
        self.tries += 1
        if self.tries == self.succeeds_at:
            return "answer"
        raise self.error


def test_what_succeeds_is_tried_once() -> None:
    attempts = Attempts(RetryableError("gone"), succeeds_at=1)
    assert waited_for(attempts, TIMEOUT_S) == "answer"
    assert attempts.tries == 1


@pytest.mark.usefixtures("without_pauses")
def test_a_server_that_comes_back_is_waited_for() -> None:
    attempts = Attempts(RetryableError("gone"), succeeds_at=4)
    assert waited_for(attempts, 60) == "answer"
    assert attempts.tries == 4


def test_a_server_that_stays_away_is_fatal_and_says_how_long_it_was_tried() -> None:
    with pytest.raises(FatalError, match=r"server a:1: gone; tried \d+ times over 0\.05 s\. Is the server running\?"):
        waited_for(Attempts(RetryableError("server a:1: gone")), TIMEOUT_S)


@pytest.mark.parametrize("error", [RefusedError("bad"), FatalError("worse"), ZeroDivisionError()])
def test_what_waiting_cannot_heal_passes_at_once(error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        waited_for(attempts, 60)
    assert attempts.tries == 1
