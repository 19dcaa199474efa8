"""What the limiter decides, with a controller that does as it is told."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from ray_pipeline.outcome import Outcome
from ray_pipeline.sharing.allotment import ASK_EVERY_S, Allotment
from ray_pipeline.sharing.fair import PRIORITY_HOLD_S
from ray_pipeline.sharing.limit import Bound, Bounds, Limit
from ray_pipeline.sharing.messages import Canary, Granted, Hello, Message, MessageError, Steer
from ray_pipeline.sharing.permits import PermitError

BOUND = Bound(0.95, max_slowdown=2.0)
OTHER_BOUND = Bound(0.99, slo_s=0.1)
HELLO = Hello("a", 1, BOUND, 1, b"model/row")
ONE, TWO, NONE = Limit(1, 0.1, "one"), Limit(2, 0.1, "two"), Limit(0, 0.0, "none")


class Told:
    """A controller that is told its limit, and keeps what it hears."""

    def __init__(self, bounds: Bounds, instances: int, now_s: float) -> None:
        self.bounds, self.instances = list(bounds), instances
        self.now = TWO
        self.due = False
        self.in_flight = 0
        self.ended: list[tuple[float, Outcome]] = []
        self.canaries: list[float | None] = []
        self.requests = 0

    def rebound(self, bounds: Bounds, instances: int) -> None:
        self.bounds, self.instances = list(bounds), instances

    def canary_due(self, now_s: float) -> bool:
        return self.due

    def canary_sent(self, now_s: float) -> None:
        self.due = False

    def canary_answered(self, now_s: float, latency_s: float | None) -> None:
        self.canaries.append(latency_s)

    def batch_sent(self, now_s: float) -> None:
        self.in_flight += 1

    def batch_answered(self, now_s: float, seconds: float, outcome: Outcome) -> None:
        self.in_flight -= 1
        self.ended.append((seconds, outcome))

    def counted(self, now_s: float, requests: int) -> None:
        self.requests = requests

    def limit(self, now_s: float) -> Limit:
        return self.now


class Node:
    """An allotment, with all that it says."""

    def __init__(self) -> None:
        self.controls: list[Told] = []
        self.said: list[tuple[int, Message]] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.allotment = Allotment(self._new, self._tell, self._note, self._model_of)

    @property
    def control(self) -> Told:
        return self.controls[-1]

    def granted(self) -> list[tuple[int, int]]:
        """The permits granted since the last call: holders and numbers."""
        found = [(holder, message.number) for holder, message in self.said if isinstance(message, Granted)]
        self.said.clear()
        return found

    def limits(self) -> list[tuple[int, Limit]]:
        """The limits told since the last call."""
        found = [(holder, message) for holder, message in self.said if isinstance(message, Limit)]
        self.said.clear()
        return found

    def _new(self, bounds: Bounds, instances: int, now_s: float) -> Told:
        self.controls.append(Told(bounds, instances, now_s))
        return self.control

    def _tell(self, holder: int, message: Message) -> None:
        self.said.append((holder, message))

    def _note(self, event: str, **what: Any) -> None:
        self.events.append((event, what))

    def _model_of(self, canary: bytes) -> str:
        model, slash, _ = canary.decode().partition("/")
        if not slash:
            raise MessageError("no canary")
        return model


@pytest.fixture
def node() -> Node:
    return Node()


def test_permits_are_granted_up_to_the_limit_and_then_as_they_come_back(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    for number in (1, 2, 3):
        node.allotment.take(1, number, 0.1, 0.0)
    node.allotment.turn(0.0)
    assert node.granted() == [(1, 1), (1, 2)]
    assert node.control.in_flight == 2
    node.allotment.give(1, 1, 0.12, "success", 0.12)
    node.allotment.turn(0.12)
    assert node.granted() == [(1, 3)]
    assert node.control.ended == [(0.12, "success")]


def test_a_newcomer_hears_the_limit_first_and_then_every_change_of_it(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    assert node.limits() == [(1, TWO)]
    node.control.now = ONE
    node.allotment.turn(ASK_EVERY_S)
    node.allotment.turn(2 * ASK_EVERY_S)
    assert node.limits() == [(1, ONE)]
    assert [what for event, what in node.events if event == "limit"] == [vars(TWO), vars(ONE)]


def test_a_limit_of_none_is_a_pause(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    node.control.now = NONE
    node.allotment.take(1, 1, 0.1, 1.0)
    node.allotment.turn(1.0)
    assert node.granted() == []
    node.control.now = ONE
    node.allotment.turn(1.0 + ASK_EVERY_S)
    assert node.granted() == [(1, 1)]


def test_permits_of_a_dead_holder_go_to_who_waits(node: Node) -> None:
    for holder, job in ((1, "a"), (2, "b")):
        node.allotment.came(holder, replace(HELLO, job=job), 0.0)
    for holder, number in ((1, 1), (1, 2), (1, 3), (2, 1)):
        node.allotment.take(holder, number, 9.0, 0.0)
        node.allotment.turn(0.0)
    assert node.granted() == [(1, 1), (1, 2)]
    node.allotment.left(1, 0.5)
    node.allotment.turn(0.5)
    assert node.granted() == [(2, 1)]
    assert node.control.in_flight == 1
    assert node.control.ended == [(0.5, "ignored"), (0.5, "ignored")]


def test_permits_of_a_former_limiter_count(node: Node) -> None:
    node.allotment.came(1, replace(HELLO, held=(7, 9)), 0.0)
    assert node.control.in_flight == 2
    node.allotment.take(1, 10, 0.1, 0.0)
    node.allotment.turn(0.0)
    assert node.granted() == []
    node.allotment.give(1, 7, 3.0, "success", 0.1)
    node.allotment.turn(0.1)
    assert node.granted() == [(1, 10)]
    assert node.control.ended == [(3.0, "success")]


def test_a_job_of_small_batches_does_not_pay_for_the_large_ones_before_it(node: Node) -> None:
    batch_s, worked_s, now_s = {1: 0.1, 2: 0.3}, {1: 0.0, 2: 0.0}, 0.0
    numbers, queue = count(), deque[tuple[int, int]]()
    for holder, weight in ((1, 3.0), (2, 1.0)):
        node.allotment.came(holder, replace(HELLO, job=str(holder), weight=weight), now_s)
        for _ in range(3):
            node.allotment.take(holder, next(numbers), batch_s[holder], now_s)
    while now_s < 100:
        node.allotment.turn(now_s)
        queue += node.granted()
        holder, number = queue.popleft()
        now_s += batch_s[holder]
        worked_s[holder] += batch_s[holder]
        node.allotment.give(holder, number, 2 * batch_s[holder], "success", now_s)
        node.allotment.take(holder, next(numbers), batch_s[holder], now_s)
    assert worked_s[1] / worked_s[2] == pytest.approx(3.0, rel=0.05)


def test_who_stops_waiting_gets_nothing_and_the_controller_hears_nothing(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    node.allotment.take(1, 1, 0.1, 0.0)
    node.allotment.give(1, 1, 0.0, "ignored", 0.0)
    node.allotment.turn(0.0)
    assert node.granted() == []
    assert node.control.ended == []


def test_the_bounds_of_all_jobs_hold_and_the_fewest_instances(node: Node) -> None:
    node.allotment.came(1, replace(HELLO, instances=4), 0.0)
    node.allotment.came(2, replace(HELLO, job="b", bound=OTHER_BOUND, instances=2), 0.0)
    assert (node.control.bounds, node.control.instances) == ([BOUND, OTHER_BOUND], 2)
    node.allotment.left(2, 1.0)
    assert (node.control.bounds, node.control.instances) == ([BOUND], 4)
    assert len(node.controls) == 1


def test_the_canary_is_that_of_the_oldest_job_and_another_model_begins_anew(node: Node) -> None:
    node.allotment.came(1, HELLO, 0.0)
    node.allotment.came(2, replace(HELLO, job="b", canary=b"model/other row"), 0.0)
    node.allotment.came(3, replace(HELLO, job="c", canary=b"other/row", held=(1,)), 0.0)
    node.control.due = True
    assert node.allotment.canary_to_send(0.0) == b"model/row"
    assert node.allotment.canary_to_send(0.1) is None
    node.allotment.canary_answered(0.2, 0.01)
    assert node.control.canaries == [0.01]
    node.allotment.left(1, 1.0)
    node.control.due = True
    assert node.allotment.canary_to_send(1.0) == b"model/other row"
    assert len(node.controls) == 1
    node.allotment.left(2, 2.0)
    assert len(node.controls) == 2
    assert node.control.in_flight == 1
    node.allotment.canary_answered(2.1, 0.5)
    assert node.control.canaries == [], "the answer is of another model"


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


def test_without_jobs_no_canary_is_sent(node: Node) -> None:
    assert node.allotment.canary_to_send(0.0) is None
    node.allotment.came(1, HELLO, 0.0)
    node.allotment.left(1, 1.0)
    node.control.due = True
    assert node.allotment.canary_to_send(2.0) is None
    assert node.allotment.turn(2.0) is None


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


def test_what_makes_no_sense_is_refused(node: Node) -> None:
    with pytest.raises(MessageError, match="introduced themselves"):
        node.allotment.take(1, 1, 0.1, 0.0)
    with pytest.raises(MessageError, match="no canary"):
        node.allotment.came(1, replace(HELLO, canary=b"nothing"), 0.0)
    node.allotment.left(1, 0.0)
    node.allotment.came(2, HELLO, 0.0)
    with pytest.raises(MessageError, match="'a' introduced itself twice"):
        node.allotment.came(2, HELLO, 0.0)
    with pytest.raises(MessageError, match="job 'z' is not here; here are a"):
        node.allotment.steer(Steer("z", paused=True, most_in_flight=None))
    with pytest.raises(PermitError):
        node.allotment.give(2, 5, 0.0, "success", 0.0)
    with pytest.raises(PermitError, match="held already"):
        node.allotment.came(3, replace(HELLO, held=(1, 1)), 0.0)
    node.allotment.left(3, 0.0)
    assert node.control.in_flight == 0
