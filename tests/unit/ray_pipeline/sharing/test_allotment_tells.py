"""What holders hear of limits, canaries, operators and priorities, and what is written down of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ray_pipeline.sharing.allotment import ASK_EVERY_S
from ray_pipeline.sharing.fair import PRIORITY_HOLD_S
from ray_pipeline.sharing.limit import Limit
from ray_pipeline.sharing.messages import Canary, Steer
from tests.support.allotted import HELLO, NONE, ONE, TWO, Node


def test_a_newcomer_hears_the_limit_first_and_then_every_change_of_it(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    assert node.limits() == [(1, TWO)]
    node.control.now = ONE
    node.allotment.turn(ASK_EVERY_S)
    node.allotment.turn(2 * ASK_EVERY_S)
    assert node.limits() == [(1, ONE)]
    assert [what for event, what in node.events if event == "limit"] == [vars(TWO), vars(ONE)]


@pytest.mark.parametrize(("limit", "silent"), [(NONE, True), (ONE, False)])
def test_every_holder_hears_how_long_a_canary_took_and_whether_bulk_was_silent(
    node: Node, limit: Limit, silent: bool
) -> None:
    node.allotment.came(1, HELLO, 0.0)
    node.allotment.came(2, replace(HELLO, job="b"), 0.0)
    node.control.now = limit
    node.allotment.turn(1.0)
    for answer in (0.01, None):
        node.control.due = True
        node.allotment.canary_to_send(1.0)
        node.said.clear()
        node.control.now = TWO
        node.allotment.canary_answered(1.1, answer)
        wanted = [] if answer is None else [(holder, Canary(answer, silent)) for holder in (1, 2)]
        assert node.said == wanted


def test_a_server_that_is_away_is_in_the_cause(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    node.limits()
    node.allotment.troubled("the server is away")
    node.allotment.troubled("the server is away")
    assert node.limits() == [(1, replace(TWO, cause="two; the server is away"))]
    node.allotment.troubled(None)
    assert node.limits() == [(1, TWO)]


def test_an_operator_pauses_limits_and_releases_one_job(node: Node) -> None:
    for holder, job in ((1, "a"), (2, "b")):
        node.allotment.came(holder, replace(HELLO, job=job), 0.0)
    node.limits()
    node.allotment.steer(Steer("a", paused=True, most_in_flight=None))
    assert node.limits() == [(1, Limit(0, 0.1, "paused by hand"))]
    node.allotment.take(1, 1, 0.1, 0.0)
    node.allotment.take(1, 2, 0.1, 0.0)
    node.allotment.turn(0.0)
    assert node.granted() == []
    node.allotment.steer(Steer("a", paused=False, most_in_flight=1))
    assert node.limits() == [(1, Limit(1, 0.1, "at most 1 by hand; two"))]
    node.allotment.turn(0.0)
    assert node.granted() == [(1, 1)]
    node.allotment.steer(Steer("a", paused=False, most_in_flight=None))
    assert node.limits() == [(1, TWO)]
    node.allotment.turn(0.0)
    assert node.granted() == [(1, 2)]


def test_what_an_operator_said_ends_with_the_job(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    node.allotment.steer(Steer("a", paused=True, most_in_flight=None))
    node.allotment.left(1, 1.0)
    node.allotment.came(2, HELLO, 2.0)
    node.allotment.take(2, 1, 0.1, 2.0)
    node.allotment.turn(2.0)
    assert node.granted() == [(2, 1)]


def test_a_job_hears_and_the_log_says_that_a_higher_priority_goes_first(node: Node) -> None:
    kept_out = replace(TWO, in_flight=0, cause="a job of higher priority goes first: high")
    node.allotment.came(1, replace(HELLO, job="low"), 0.0)
    node.allotment.take(1, 1, 0.1, 0.0)
    node.allotment.turn(0.0)
    node.said.clear()
    node.allotment.came(2, replace(HELLO, job="high", priority=1), 1.0)
    assert node.limits() == [(1, kept_out), (2, TWO)]
    assert priorities(node) == [], "the server still works at its batch"
    node.allotment.give(1, 1, 0.1, "success", 1.1)
    node.allotment.turn(1.1)
    assert priorities(node) == [("yielded", {"job": "low", "to": "high"})]
    for now_s in (1.2, 5.9):
        node.allotment.take(2, int(now_s * 10), 0.1, now_s)
        node.allotment.turn(now_s)
    assert len(priorities(node)) == 1
    node.said.clear()
    node.allotment.left(2, 6.0)
    node.allotment.turn(6.0)
    assert node.limits() == [(1, TWO)]
    assert priorities(node)[1:] == [("goes on", {"job": "low"})]


def test_who_came_while_a_higher_priority_is_there_hears_so_first(node: Node) -> None:
    node.allotment.came(1, replace(HELLO, job="high", priority=1), 0.0)
    node.allotment.came(2, replace(HELLO, job="low"), 0.0)
    assert [limit.in_flight for holder, limit in node.limits() if holder == 2] == [0]
    node.allotment.left(2, 1.0)
    node.allotment.came(2, replace(HELLO, job="low", priority=1), 1.0)
    assert node.limits() == [(2, TWO)]


@pytest.mark.parametrize("silence_s", [PRIORITY_HOLD_S, 0.0])
def test_a_higher_priority_that_wants_nothing_or_is_paused_keeps_nobody_out(node: Node, silence_s: float) -> None:
    node.allotment.came(1, replace(HELLO, job="high", priority=1), 0.0)
    node.allotment.came(2, replace(HELLO, job="low"), 0.0)
    if not silence_s:
        node.allotment.steer(Steer("high", paused=True, most_in_flight=None))
    node.said.clear()
    node.allotment.turn(ASK_EVERY_S + silence_s)
    assert node.limits() == [(2, TWO)]
    assert [event for event, _ in priorities(node)] == ["yielded", "goes on"]


def priorities(node: Node) -> list[tuple[str, dict[str, Any]]]:
    """What was written down of jobs that are kept out."""
    return [(event, what) for event, what in node.events if event in ("yielded", "goes on")]
