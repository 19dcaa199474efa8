"""How long a server worked at each batch, by a clock that is only a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ray_pipeline.sharing.work import Work

FIRST, SECOND, THIRD = (1, 1), (2, 1), (1, 2)


@pytest.fixture
def work() -> Work:
    return Work()


def test_a_batch_does_not_pay_for_the_one_that_it_waited_for(work: Work) -> None:
    work.came(FIRST, 0.0)
    work.came(SECOND, 1.0)
    assert work.ended(FIRST, 5.0) == 5.0
    work.came(THIRD, 6.0)
    assert work.ended(SECOND, 6.5) == 1.5
    assert work.ended(THIRD, 7.0) == 0.5


def test_instances_work_side_by_side(work: Work) -> None:
    work.instances = 2
    for batch in (FIRST, SECOND, THIRD):
        work.came(batch, 0.0)
    assert work.ended(SECOND, 2.0) == 2.0
    assert work.ended(FIRST, 3.0) == 3.0
    assert work.ended(THIRD, 4.0) == 2.0


def test_one_that_ended_first_was_worked_at_first(work: Work) -> None:
    work.came(FIRST, 0.0)
    work.came(SECOND, 0.0)
    assert work.ended(SECOND, 2.0) == 2.0
    assert work.ended(FIRST, 3.0) == 1.0


def test_an_instance_more_takes_one_that_waited(work: Work) -> None:
    work.came(FIRST, 0.0)
    work.came(SECOND, 0.0)
    work.instances = 2
    work.came(THIRD, 1.0)
    assert work.ended(SECOND, 3.0) == 2.0
    work.instances = 1
    assert work.ended(FIRST, 4.0) == 4.0
    assert work.ended(THIRD, 5.0) == 2.0, "an instance that works goes on"


@given(
    instances=some.integers(1, 3),
    steps=some.lists(some.tuples(some.booleans(), some.integers(0, 9), some.integers(0, 100)), max_size=60),
)
def test_all_the_time_of_the_instances_is_given_out_once(instances: int, steps: list[tuple[bool, int, int]]) -> None:
    work, now_s, worked_s, given_s = Work(), 0.0, 0.0, 0.0
    work.instances = instances
    there: list[tuple[int, int]] = []
    for number, (comes, which, waits_s) in enumerate(steps):
        now_s, worked_s = now_s + waits_s, worked_s + min(instances, len(there)) * waits_s
        if comes or not there:
            there.append((which, number))
            work.came(there[-1], now_s)
        else:
            given_s += work.ended(there.pop(which % len(there)), now_s)
    while there:
        given_s += work.ended(there.pop(), now_s)
    assert given_s == worked_s
