"""Permits of a job that has its server to itself."""

from __future__ import annotations

import math
import threading

from ray_pipeline.sharing.gate import PAUSED, Gate
from ray_pipeline.sharing.limit import UNLIMITED
from ray_pipeline.sharing.listener import NoListener

SOON_S = 0.2


def taken_in_the_background(gate: Gate) -> threading.Event:
    """Set as soon as the gate has let somebody in."""
    there = threading.Event()

    def take() -> None:
        gate.take(0.0)
        there.set()

    threading.Thread(target=take, daemon=True).start()
    return there


def test_it_is_open_until_somebody_steers() -> None:
    gate = Gate(NoListener())
    assert (gate.limit.in_flight, gate.limit.batch_s) == (UNLIMITED, math.inf)
    for _ in range(UNLIMITED):
        gate.take(0.0)


def test_nobody_comes_through_while_it_is_paused() -> None:
    gate = Gate(NoListener())
    gate.steer(paused=True)
    assert gate.limit == PAUSED
    there = taken_in_the_background(gate)
    assert not there.wait(SOON_S)
    gate.steer(paused=False)
    assert there.wait(5)


def test_a_limit_by_hand_is_kept() -> None:
    gate = Gate(NoListener())
    gate.steer(paused=False, most_in_flight=1)
    permit = gate.take(0.0)
    there = taken_in_the_background(gate)
    assert not there.wait(SOON_S)
    permit.give(0.01, "success")
    assert there.wait(5)


def test_batches_that_are_in_flight_when_it_is_paused_may_end() -> None:
    gate = Gate(NoListener())
    permit = gate.take(0.0)
    gate.steer(paused=True)
    permit.give(0.01, "dropped")
    gate.steer(paused=False, most_in_flight=1)
    assert taken_in_the_background(gate).wait(5)
