from __future__ import annotations

import heapq
import random
from collections import deque

import pytest

from ray_pipeline.scoring.window import LEAST, MOST, Trip, Window

PUT_AWAY_S = 1e-4
"""What the client needs for an answer and the next batch."""


class Served:
    """A server of `instances` on a clock of its own, and a client that keeps a window of batches at it.

    A batch takes `seconds` once an instance is free, and `network_s` on its ways; batches are taken in the order of
    sending. The window learns after each chunk.
    """

    def __init__(self, instances: int, network_s: float = 0.0) -> None:
        self.window, self.now_s, self._network_s = Window(), 0.0, network_s
        self._free_s = [0.0] * instances

    def chunk(self, *seconds: float) -> int:
        """Scores one chunk; gives the size of the window afterwards."""
        in_flight: deque[tuple[float, float, int]] = deque()
        trips: list[Trip] = []
        queued_s = 0.0
        for each_s in seconds:
            while len(in_flight) >= self.window.size:
                trips.append(self._answered(in_flight))
            there_s = self.now_s + self._network_s
            began_s = max(there_s, heapq.heappop(self._free_s))
            queued_s += began_s - there_s
            heapq.heappush(self._free_s, began_s + each_s)
            in_flight.append((self.now_s, began_s + each_s + self._network_s, len(in_flight) + 1))
        while in_flight:
            trips.append(self._answered(in_flight))
        self.window.learn(trips, queued_s / len(trips))
        return self.window.size

    def _answered(self, in_flight: deque[tuple[float, float, int]]) -> Trip:
        sent_s, answered_s, together = in_flight.popleft()
        self.now_s = max(self.now_s + PUT_AWAY_S, answered_s)
        return Trip(self.now_s - sent_s, together)


@pytest.mark.parametrize(("instances", "settled"), [(1, {2}), (2, {3}), (3, {4}), (8, {9})])
def test_it_settles_one_above_the_number_of_instances(instances: int, settled: set[int]) -> None:
    server = Served(instances)
    found = [server.chunk(*[0.01] * 40) for _ in range(12)]
    assert set(found[-4:]) <= settled


@pytest.mark.parametrize(("instances", "settled"), [(1, {2}), (3, {4, 5}), (8, {8, 9, 10, 11})])
def test_batches_of_very_different_cost_change_little(instances: int, settled: set[int]) -> None:
    server, chance = Served(instances), random.Random(0)
    found = [server.chunk(*sorted((chance.uniform(0.002, 0.02) for _ in range(40)), reverse=True)) for _ in range(20)]
    assert set(found[-4:]) <= settled


def test_batches_on_their_way_are_not_waiting() -> None:
    server = Served(1, network_s=0.03)
    found = [server.chunk(*[0.01] * 60) for _ in range(20)]
    assert set(found[-4:]) <= {7, 8, 9}


def test_chunks_of_one_batch_do_not_make_it_grow() -> None:
    server = Served(1)
    assert {server.chunk(0.01) for _ in range(8)} == {LEAST}


def test_it_grows_by_one_at_a_time_and_never_above_the_most() -> None:
    server = Served(50)
    found = [server.chunk(*[0.01] * 100) for _ in range(MOST + 4)]
    assert found == [*range(LEAST + 1, MOST + 1), *[MOST] * (len(found) - MOST + LEAST)]


def test_it_shrinks_when_instances_go() -> None:
    window = Window()
    for _ in range(6):
        window.learn([Trip(0.01, window.size)], 0.0)
    assert window.size == 8
    window.learn([Trip(0.08, 8)], 0.07)
    assert window.size == LEAST


def test_more_queued_than_the_round_trip_is_no_less_than_the_least() -> None:
    window = Window()
    window.learn([Trip(0.01, 2)], 0.5)  # online users wait longer
    assert window.size == LEAST
