from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from triton_models.server.alive import Again, kept_alive
from triton_models.server.errors import StartError
from triton_models.server.lives import MOST_FAILED_STARTS, MOST_SHORT_LIVES


class Starts:
    """Gives what is listed, one after the other: servers, or errors to raise."""

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = iter(outcomes)

    def __call__(self) -> Any:
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Pause:
    """Takes no time; it keeps the pauses. `over` says that no other server is wanted."""

    def __init__(self, *, over: bool = False) -> None:
        self._over = over
        self.pauses_s: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.pauses_s.append(seconds)
        return self._over


def kept(pause: Pause, *outcomes: Any) -> Iterator[Again]:
    first: Any = object()
    return kept_alive(first, Starts(*outcomes), lambda _: 137, pause)


def test_each_death_is_followed_by_a_start() -> None:
    second: Any = object()
    third: Any = object()
    pause = Pause()
    servers = kept(pause, second, StartError("port"), third)
    assert next(servers) == Again(second, 1)
    assert next(servers) == Again(third, 3)
    assert pause.pauses_s == [0.1, 0.1, 0.5]


def test_a_server_that_does_not_come_up_any_more_is_given_up_with_the_reason() -> None:
    last = StartError("no memory")
    starts = [StartError("port")] * (MOST_FAILED_STARTS - 1)
    assert list(kept(Pause(), *starts, last)) == [Again(None, 1 + MOST_FAILED_STARTS, last)]


def test_a_server_that_dies_again_and_again_is_given_up() -> None:
    *again, last = kept(Pause(), *[object()] * (MOST_SHORT_LIVES - 1))
    assert [one.deaths for one in again] == list(range(1, MOST_SHORT_LIVES))
    assert last == Again(None, MOST_SHORT_LIVES)


def test_a_server_that_was_stopped_is_not_started_again() -> None:
    assert list(kept(Pause(over=True))) == []


def test_what_is_no_failure_of_the_server_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(kept(Pause(), ZeroDivisionError()))
