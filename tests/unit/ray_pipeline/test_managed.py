from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ray_pipeline.lives import MOST_FAILED_STARTS
from ray_pipeline.managed import kept_alive
from triton_models.server.errors import StartError


class Dead:
    """A server that has died."""

    def wait(self) -> int:
        return 137


class Starts:
    """Gives what is listed, one after the other: servers, or errors to raise."""

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = iter(outcomes)

    def __call__(self) -> Any:
        outcome = next(self._outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class AtOnce(threading.Event):
    """Not over, and no pause takes time; it keeps the pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses_s: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses_s.append(timeout)
        return self.is_set()


def kept(over: threading.Event, *outcomes: Any) -> Iterator[tuple[Any, int]]:
    first: Any = Dead()
    return kept_alive(first, Starts(*outcomes), over)


def test_each_death_is_followed_by_a_start() -> None:
    second, third, over = Dead(), Dead(), AtOnce()
    servers = kept(over, second, StartError("port"), third)
    assert next(servers) == (second, 1)
    assert next(servers) == (third, 3)
    assert over.pauses_s == [0.1, 0.1, 0.5]


def test_a_server_that_does_not_come_up_any_more_is_given_up() -> None:
    assert list(kept(AtOnce(), *[StartError("no memory")] * MOST_FAILED_STARTS)) == [(None, 1 + MOST_FAILED_STARTS)]


def test_a_server_that_was_stopped_is_not_started_again() -> None:
    over = AtOnce()
    over.set()
    assert list(kept(over)) == []


def test_what_is_no_failure_of_the_server_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(kept(AtOnce(), ZeroDivisionError()))
