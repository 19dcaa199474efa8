from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import stamina

from ray_pipeline.errors import FatalError, RefusedError, RetryableError, ServerAwayError, ServerDiedError
from ray_pipeline.retry import Again, waited_for
from ray_pipeline.transport.base import Request, Tensors
from ray_pipeline.transport.fake import FakeTransport
from tests.support.transports import MortalTransport

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
    with pytest.raises(
        ServerAwayError, match=r"server a:1: gone; tried \d+ times over 0\.05 s\. Is the server running\?"
    ):
        waited_for(Attempts(RetryableError("server a:1: gone")), TIMEOUT_S)


@pytest.mark.parametrize("error", [RefusedError("bad"), FatalError("worse"), ZeroDivisionError()])
def test_what_waiting_cannot_heal_passes_at_once(error: Exception) -> None:
    attempts = Attempts(error)
    with pytest.raises(type(error)):
        waited_for(attempts, 60)
    assert attempts.tries == 1


REQUEST = Request("m", 1, {}, ())


def nothing(request: Request) -> Tensors:
    return {}


@pytest.mark.usefixtures("without_pauses")
def test_a_server_that_dies_each_time_of_a_request_is_not_sent_it_for_ever() -> None:
    transport = MortalTransport(nothing, lambda request: True)
    with pytest.raises(ServerDiedError, match=r"server fake was ready, got this request and died, 3 times: .*Socket"):
        Again(transport, 60).answer(REQUEST, deaths=3)
    assert transport.deaths == 3


@pytest.mark.usefixtures("without_pauses")
def test_a_server_that_died_of_something_else_answers_when_it_is_back() -> None:
    lives = iter([True, True])
    transport = MortalTransport(lambda request: {}, lambda request: next(lives, False))
    assert Again(transport, 60).answer(REQUEST, deaths=3) == {}
    assert transport.deaths == 2


def test_requests_go_one_after_the_other_whoever_sends_them_again() -> None:
    lock, at_once, most = threading.Lock(), 0, 0

    def answer(request: Request) -> Tensors:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        threading.Event().wait(0.01)
        with lock:
            at_once -= 1
        return {}

    again = Again(FakeTransport(answer), 60)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(again.answer, REQUEST, 1) for _ in range(8)]
    assert [one.result() for one in answers] == [{}] * 8
    assert most == 1


@pytest.mark.usefixtures("without_pauses")
def test_a_server_that_lives_but_has_no_room_is_asked_on_and_never_blamed_on_the_request() -> None:
    attempts = Attempts(RetryableError("no room"), succeeds_at=5)

    def answer(request: Request) -> Tensors:
        attempts()
        return {}

    assert Again(FakeTransport(answer), 60).answer(REQUEST, deaths=1) == {}
    assert attempts.tries == 5


def test_a_server_that_died_and_does_not_come_back_is_fatal() -> None:
    class Gone(FakeTransport):
        def check_ready(self, timeout_s: float) -> None:
            raise RetryableError("server fake: not there")

    with pytest.raises(ServerAwayError, match=r"server fake: not there; tried \d+ times over 0\.05 s"):
        Again(Gone(nothing), TIMEOUT_S).answer(REQUEST, deaths=3)
