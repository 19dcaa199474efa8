"""Who gets permits, within which bounds, and which canary is sent."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from itertools import count

import pytest

from ray_pipeline.sharing.allotment import ASK_EVERY_S
from ray_pipeline.sharing.limit import Bound
from ray_pipeline.sharing.messages import MessageError, Steer
from ray_pipeline.sharing.permits import PermitError
from tests.support.allotted import BOUND, HELLO, NONE, ONE, Node

OTHER_BOUND = Bound(0.99, slo_s=0.1)


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


def test_without_jobs_no_canary_is_sent(node: Node) -> None:
    assert node.allotment.canary_to_send(0.0) is None
    node.allotment.came(1, HELLO, 0.0)
    node.allotment.left(1, 1.0)
    node.control.due = True
    assert node.allotment.canary_to_send(2.0) is None
    assert node.allotment.turn(2.0) is None


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
