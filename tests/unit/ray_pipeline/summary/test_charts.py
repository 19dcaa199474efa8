from __future__ import annotations

import json

import pytest

from ray_pipeline.summary.charts import charts_of
from ray_pipeline.summary.figures import figures_of
from ray_pipeline.summary.recorded import Recorded
from ray_pipeline.telemetry.metrics import SECONDS
from tests.support.pages import BEGAN_S, batches, committed, heard, page, run
from tests.support.records import record_of

ALL = {"rates", "stages", "latencies", "batch-rows", "limits", "limit-seconds", "canaries"}
MOST_POINTS = 500


def test_every_chart_is_there_where_there_is_something_to_draw() -> None:
    assert charts_of(figures_of(record_of(chunks=20, seconds=100.0))).keys() == ALL


def test_nothing_is_drawn_of_nothing() -> None:
    assert charts_of(figures_of(Recorded())) == {}
    assert charts_of(figures_of(Recorded([page(run(), 0)]))) == {}


def test_a_job_that_shares_with_nobody_has_no_limit_to_draw() -> None:
    one = committed("a", batches=batches(seconds={0.01: 1}, rows={8: 1}))
    drawn = charts_of(figures_of(Recorded([page(run(), 5, one)])))
    assert drawn.keys() == {"rates", "stages", "latencies", "batch-rows"}


def test_a_limit_that_was_never_bounded_has_no_length_of_batches() -> None:
    one = committed("a", batches=heard(batches(), limits=[(BEGAN_S, 16, None)]))
    assert "limit-seconds" not in charts_of(figures_of(Recorded([page(run(), 5, one)])))


def test_a_long_job_is_drawn_with_few_points() -> None:
    drawn = charts_of(figures_of(record_of(chunks=5000, seconds=40 * 86_400.0)))
    points = {name: sum(map(len, chart["datasets"].values())) for name, chart in drawn.items()}
    assert max(points.values()) <= MOST_POINTS
    assert len(json.dumps(drawn)) < 500_000


@pytest.mark.parametrize("took_s", [0.0007, 0.00247, 0.0029, 0.0131, 0.95, 70.0])
def test_an_axis_of_latencies_has_labels_however_alike_they_are(took_s: float) -> None:
    told = heard(batches(), canaries=[(BEGAN_S + 1, took_s, True), (BEGAN_S + 2, took_s, False)])
    drawn = charts_of(figures_of(Recorded([page(run(), 5, committed("a", batches=told))])))
    (band, point) = drawn["canaries"]["layer"]
    assert 1 <= len(band["encoding"]["y"]["axis"]["values"]) <= 7
    assert point["encoding"]["y"]["scale"]["domain"] == pytest.approx([took_s / 1.2, took_s * 1.2])


def test_a_canary_that_took_no_time_that_a_clock_knows_is_drawn() -> None:
    told = heard(batches(), canaries=[(BEGAN_S + 1, 0.0, True)])
    drawn = charts_of(figures_of(Recorded([page(run(), 5, committed("a", batches=told))])))
    assert drawn["canaries"]["layer"][0]["encoding"]["y"]["axis"]["values"]


@pytest.mark.parametrize("end_s", [SECONDS[0], SECONDS[5], SECONDS[-1]])
def test_quantiles_of_batches_are_inside_of_the_chart(end_s: float) -> None:
    one = committed("a", batches=batches(seconds={end_s: 7}, rows={8: 7}))
    drawn = charts_of(figures_of(Recorded([page(run(), 5, one)])))["latencies"]
    least, most = drawn["layer"][0]["encoding"]["x"]["scale"]["domain"]
    marks = [row["seconds"] for data in drawn["datasets"].values() for row in data if "seconds" in row]
    assert len(marks) == 3
    assert all(least <= mark <= most for mark in marks)


@pytest.mark.parametrize(
    ("seconds", "title"), [(100, "seconds"), (1000, "minutes"), (50_000, "hours"), (400_000, "days")]
)
def test_time_has_a_unit_that_suits_it(seconds: float, title: str) -> None:
    drawn = charts_of(figures_of(record_of(chunks=20, seconds=seconds)))
    for name in ("rates", "limits", "limit-seconds", "canaries"):
        assert f"{title} of work" in json.dumps(drawn[name])
