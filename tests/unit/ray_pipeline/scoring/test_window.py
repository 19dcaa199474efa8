from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable

import pytest

from ray_pipeline.scoring.window import LEAST, MOST, Sample, Window

Cost = Callable[[int], float]
PUT_AWAY_S = 1e-6
"""What the client needs for an answer."""


class Served:
    """A server of `instances` on a clock of its own, and a client that keeps a window of batches at it.

    A batch of n elements takes `seconds(n)` once an instance is free; batches are taken in the order of sending.
    """

    def __init__(self, instances: int, seconds: Cost = lambda elements: elements / 1000) -> None:
        self.window, self.now_s, self.seconds = Window(), 0.0, seconds
        self.free_s = [0.0] * instances

    def chunk(self, *batches: int) -> list[int]:
        """Scores one chunk; gives the size of the window after each batch."""
        in_flight: deque[tuple[float, float, int]] = deque()
        sizes = []
        for elements in batches:
            while len(in_flight) >= self.window.size:
                sizes.append(self._answered(in_flight))
            began_s = max(self.now_s, heapq.heappop(self.free_s))
            heapq.heappush(self.free_s, began_s + self.seconds(elements))
            in_flight.append((self.now_s, began_s + self.seconds(elements), elements))
        while in_flight:
            sizes.append(self._answered(in_flight))
        return sizes

    def _answered(self, in_flight: deque[tuple[float, float, int]]) -> int:
        sent_s, answered_s, elements = in_flight.popleft()
        self.now_s = max(self.now_s + PUT_AWAY_S, answered_s)
        self.window.add(Sample(sent_s, self.now_s, elements))
        return self.window.size


@pytest.mark.parametrize(("instances", "settled"), [(1, {2}), (2, {3, 4}), (3, {4, 5}), (8, {9, 10, 11})])
def test_it_settles_a_little_above_the_number_of_instances(instances: int, settled: set[int]) -> None:
    served = Served(instances)
    served.chunk(*[100] * 200)
    assert set(served.chunk(*[100] * 200)) <= settled


def test_it_has_a_bound() -> None:
    served = Served(40)
    sizes = served.chunk(*[100] * 500)
    assert max(sizes) == MOST


@pytest.mark.parametrize(("instances", "sizes"), [(1, {2}), (3, {3, 4, 5}), (8, {*range(6, 11)})])
def test_answers_that_take_now_less_and_now_more_change_it_little(instances: int, sizes: set[int]) -> None:
    chance = random.Random(7)
    served = Served(instances, lambda elements: elements / 1000 * chance.uniform(0.8, 1.4))
    for _ in range(5):
        served.chunk(*[100] * 64)
    assert set(served.chunk(*[100] * 64)) <= sizes


def test_it_is_there_within_a_few_samples() -> None:
    assert Served(3).chunk(*[100] * 10)[-1] >= 4
    assert Served(8).chunk(*[100] * 70)[-1] >= 9


def test_it_starts_with_two_and_grows_by_one_at_a_time() -> None:
    assert Window().size == LEAST == 2
    sizes = [LEAST, *Served(12).chunk(*[100] * 100)]
    assert max(after - before for before, after in itertools.pairwise(sizes)) == 1


@pytest.mark.parametrize("instances", [1, 3])
def test_batches_of_many_sizes_make_no_difference(instances: int) -> None:
    served = Served(instances)
    batches = [2000 - 10 * number for number in range(150)]
    for _ in range(3):
        sizes = served.chunk(*batches)
    assert instances <= min(sizes)
    assert max(sizes) <= instances + 2


def test_a_cost_for_each_request_makes_no_difference_between_batches_of_one_size() -> None:
    served = Served(3, lambda elements: 0.05 + elements / 1000)
    assert served.chunk(*[100] * 50)[-1] in (4, 5)


def test_a_server_that_becomes_slow_for_everyone_gets_no_more_batches_than_before() -> None:
    served = Served(3)
    for _ in range(9):
        served.chunk(*[100] * 50)
    served.seconds = lambda elements: elements / 250
    assert max(size for _ in range(12) for size in served.chunk(*[100] * 50)) <= 5


def test_one_slow_answer_leaves_it_as_it_is() -> None:
    served = Served(3)
    served.chunk(*[100] * 50)
    usual = served.seconds
    slow = iter([2.0])
    served.seconds = lambda elements: next(slow, usual(elements))
    assert set(served.chunk(*[100] * 20)) <= {4, 5}


def test_what_took_no_time_or_holds_nothing_teaches_nothing() -> None:
    window = Window()
    window.add(Sample(1.0, 1.0, 5))
    window.add(Sample(1.0, 2.0, 0))
    assert window.size == LEAST
