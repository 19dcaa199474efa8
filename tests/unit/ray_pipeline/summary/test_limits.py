from __future__ import annotations

import numpy as np
import pytest

from ray_pipeline.summary.limits import canaries, canary_bins, limit_bins
from ray_pipeline.summary.recorded import Recorded
from ray_pipeline.summary.worktime import WorkTime
from tests.support.pages import BEGAN_S, batches, committed, heard, page, run

EDGES = np.array([0.0, 5.0, 10.0])


def recorded_with(*told: tuple[str, list[tuple[float, int, float | None]]]) -> Recorded:
    nodes = [node for node, _ in told]
    chunks = [
        committed(node, node=node, batches=heard(batches(), limits=[(BEGAN_S + one[0], *one[1:]) for one in limits]))
        for node, limits in told
    ]
    return Recorded([page(run(nodes=nodes), 10, *chunks)])


def bins_of(recorded: Recorded) -> list[tuple[int, float, int, float | None]]:
    found = limit_bins(recorded, WorkTime.of(recorded.runs), EDGES)
    return [(one.least, one.mean, one.most, one.batch_s) for one in found]


def test_a_limit_holds_until_the_next() -> None:
    recorded = recorded_with(("a", [(0.0, 16, None), (4.0, 1, 0.02), (7.5, 3, 0.04)]))
    assert bins_of(recorded) == [(1, 13.0, 16, 0.02), (1, 2.0, 3, pytest.approx(0.03))]


def test_before_the_first_nothing_is_known() -> None:
    assert bins_of(recorded_with(("a", [(6.0, 2, 0.01)]))) == [(2, 2.0, 2, 0.01)]


def test_nodes_have_limits_of_their_own() -> None:
    recorded = recorded_with(("a", [(0.0, 16, None)]), ("b", [(0.0, 2, 0.01)]))
    assert bins_of(recorded)[0] == (2, 9.0, 16, 0.01)


def test_the_length_of_a_batch_that_must_not_be_sent_says_nothing() -> None:
    assert bins_of(recorded_with(("a", [(0.0, 0, 0.0)]))) == [(0, 0.0, 0, None), (0, 0.0, 0, None)]


def test_a_limit_ends_with_its_run() -> None:
    first, second = run(0), run(1, BEGAN_S + 1000)
    told = committed("a", batches=heard(batches(), limits=[(BEGAN_S, 1, None)]))
    recorded = Recorded([page(first, 5, told), page(second, 5)])
    found = limit_bins(recorded, WorkTime.of(recorded.runs), EDGES)
    assert [(one.from_s, one.most) for one in found] == [(0.0, 1)]


def test_canaries_over_time_and_all_together() -> None:
    told = [(BEGAN_S + 1, 0.010, True), (BEGAN_S + 2, 0.020, True), (BEGAN_S + 7, 0.050, False)]
    recorded = Recorded([page(run(), 10, committed("a", batches=heard(batches(), canaries=told)))])
    found = canary_bins(recorded, WorkTime.of(recorded.runs), EDGES)
    assert [(one.from_s, one.silent) for one in found] == [(0.0, True), (5.0, False)]
    assert [found[0].p5_s, found[0].p50_s, found[1].p50_s] == pytest.approx([0.0105, 0.015, 0.05])
    silent, beside = canaries(recorded)
    assert (silent.silent, silent.count, beside.silent, beside.count) == (True, 2, False, 1)
    assert [silent.p50_s, silent.p95_s, beside.p50_s, beside.p95_s] == pytest.approx([0.015, 0.0195, 0.05, 0.05])


def test_a_job_without_a_lane_has_heard_of_nothing() -> None:
    recorded = Recorded([page(run(), 10, committed("a"))])
    work = WorkTime.of(recorded.runs)
    assert (limit_bins(recorded, work, EDGES), canary_bins(recorded, work, EDGES), canaries(recorded)) == ([], [], [])
