from __future__ import annotations

import pytest

from ray_pipeline.sharing.pace import Pace


def test_one_row_goes_first() -> None:
    pace = Pace()
    assert pace.rows(64, 1.0) == 1
    assert pace.seconds(64) == 0.0


@pytest.mark.parametrize(("batch_s", "rows"), [(0.064, 10), (0.05, 8), (0.047, 7), (0.001, 1), (0.0, 1)])
def test_about_as_many_rows_as_run_in_time(batch_s: float, rows: int) -> None:
    pace = Pace()
    pace.learn(elements=640, seconds=0.064)
    assert pace.seconds(1280) == pytest.approx(0.128)
    assert pace.rows(64, batch_s * 1.0001) == rows


def test_a_batch_that_waited_for_long_is_one_of_many() -> None:
    pace = Pace()
    for seconds in (0.064, 5.0, 0.064):
        pace.learn(640, seconds)
    assert pace.seconds(640) == pytest.approx(0.064)


def test_batches_that_waited_for_somebody_say_little() -> None:
    pace = Pace()
    for seconds in (0.1, 0.064, 0.09, 0.08):
        pace.learn(640, seconds)
    assert pace.seconds(640) == pytest.approx(0.08)


def test_the_last_batches_count() -> None:
    pace = Pace()
    for seconds in [1.0] * 50 + [2.0] * 16:
        pace.learn(1, seconds)
    assert pace.seconds(1) == 2.0
