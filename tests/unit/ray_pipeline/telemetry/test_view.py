"""How a job goes, by pages made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ray_pipeline.sinks.part import PartResult
from ray_pipeline.telemetry.course import Batches, CanarySeen, Committed, Course, LimitSeen, Stage
from ray_pipeline.telemetry.metrics import SECONDS
from ray_pipeline.telemetry.record import Page, Run
from ray_pipeline.telemetry.view import WINDOW_S, View

RUN = Run("1", 1000.0, ("a", "b"))
NOW_S = 1000.0 + 10 * WINDOW_S
NONE = Batches()
LIMIT = LimitSeen(NOW_S, 1, 0.05, "users are online")


def chunk(node: str, ended_s: float, rows: int = 90, batches: Batches = NONE) -> Committed:
    course = Course(node, write=Stage(ended_s - 1, 1.0), batches=batches, rejections={"score: NaN": 10})
    return Committed(PartResult(f"{ended_s}", rows, 10, 1, ""), course)


def view(*committed: Committed) -> View:
    found = View()
    found.add(Page(RUN, NOW_S, committed))
    return found


def test_the_pace_is_that_of_the_last_minute() -> None:
    found = view(chunk("a", NOW_S - 2 * WINDOW_S), chunk("a", NOW_S - 30), chunk("a", NOW_S - 5))
    a, b = found.nodes(NOW_S)
    assert (a.node, a.rows, a.rows_per_s) == ("a", 200, 200 / WINDOW_S)
    assert (b.node, b.rows, b.rows_per_s, b.batch_p50_s, b.user_p95_s, b.limit) == ("b", 0, 0.0, None, None, None)


def test_a_young_run_is_measured_over_its_life() -> None:
    found = View()
    found.add(Page(replace(RUN, began_s=NOW_S - 10), NOW_S, (chunk("a", NOW_S - 1),)))
    assert found.nodes(NOW_S)[0].rows_per_s == 10.0


def test_latencies_are_those_of_batches_and_of_users_beside_bulk() -> None:
    seconds = [0] * (len(SECONDS) + 1)
    seconds[SECONDS.index(0.02)] = 10
    canaries = (CanarySeen(NOW_S, 0.01, True), *(CanarySeen(NOW_S, 0.03, False) for _ in range(20)))
    batches = Batches(seconds=tuple(seconds), canaries=canaries, limits=(LimitSeen(1, 0, 0.0, "silent"), LIMIT))
    a, _ = view(chunk("a", NOW_S - 1, batches=batches)).nodes(NOW_S)
    assert a.batch_p50_s == pytest.approx(0.0175)
    assert a.user_p95_s == 0.03
    assert a.limit == LIMIT


def test_rejections_and_times_are_those_of_the_run() -> None:
    found = view(chunk("a", NOW_S - 5 * WINDOW_S), chunk("b", NOW_S))
    assert found.rejections == {"score: NaN": 20}
    assert found.seconds["write"] == 2.0


def test_another_run_begins_anew() -> None:
    found = view(chunk("a", NOW_S))
    found.add(Page(Run("2", NOW_S, ("a",)), NOW_S))
    assert found.rejections == {}
    assert [node.rows for node in found.nodes(NOW_S)] == [0]
