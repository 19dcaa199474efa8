from __future__ import annotations

import numpy as np
import pytest

from ray_pipeline.summary.worktime import MOST_BINS, Floats, WorkTime, edges, rate


def test_runs_are_laid_end_to_end() -> None:
    work = WorkTime(np.array([1000.0, 90_000.0]), np.array([60.0, 30.0]))
    at_s = work.at(np.array([0, 0, 1, 1], np.int32), np.array([1000.0, 1059.0, 90_001.0, 90_030.0]))
    assert at_s.tolist() == [0.0, 59.0, 61.0, 90.0]
    assert (work.total_s, work.starts_s.tolist()) == (90.0, [0.0, 60.0])


def test_a_clock_that_differs_does_not_leave_its_run() -> None:
    work = WorkTime(np.array([1000.0, 2000.0]), np.array([60.0, 30.0]))
    assert work.at(np.array([0, 1], np.int32), np.array([1500.0, 1990.0])).tolist() == [60.0, 60.0]


@pytest.mark.parametrize(
    ("total_s", "width_s", "bins"),
    [(3.0, 0.1, 30), (60.0, 0.5, 120), (61.0, 1.0, 61), (3600.0, 30.0, 120), (86_400.0, 900.0, 96)],
)
def test_bins_have_round_widths(total_s: float, width_s: float, bins: int) -> None:
    found = edges(total_s)
    assert len(found) == bins + 1
    assert found[1] - found[0] == pytest.approx(width_s)
    assert found[-1] == total_s


@pytest.mark.parametrize("days", [0.01, 1, 100, 1000, 12_345.6])
def test_there_are_never_too_many_bins(days: float) -> None:
    found = edges(days * 86_400)
    assert len(found) <= MOST_BINS + 1
    assert (np.diff(found) > 0).all()


def test_no_time_has_no_bins() -> None:
    assert edges(0.0).tolist() == [0.0]


def test_rows_are_spread_over_the_time_in_which_they_were_scored() -> None:
    from_s, to_s = np.array([0.0, 1.0, 3.0]), np.array([4.0, 2.0, 3.5])
    found = rate(from_s, to_s, np.array([40.0, 5.0, 10.0]), np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    assert found.tolist() == pytest.approx([10.0, 15.0, 10.0, 20.0])


def test_no_row_is_lost_whatever_its_time() -> None:
    at_s = np.array([0.0, 10.0, 20.0])
    from_s, to_s = np.array([0.0, 10.0, 20.0, 5.0]), np.array([0.0, 10.0, 20.0, 15.0])
    found = rate(from_s, to_s, np.array([100.0, 100.0, 100.0, 50.0]), at_s)
    assert (found * np.diff(at_s)).sum() == pytest.approx(350.0)


def test_a_bin_may_be_shorter_than_the_others() -> None:
    found = rate(np.array([0.0]), np.array([2.5]), np.array([25.0]), np.array([0.0, 1.0, 2.0, 2.5]))
    assert found.tolist() == pytest.approx([10.0, 10.0, 10.0])


def test_what_is_not_is_nothing_whatever_was_before() -> None:
    random = np.random.default_rng(0)
    from_s = random.uniform(0, 5e5, 20_000)
    to_s = from_s + random.uniform(0, 3e5, 20_000)
    at_s = edges(1e6)
    amounts = random.integers(1, 10_000, 20_000).astype(float)
    found = rate(from_s, to_s, amounts, at_s)
    assert (found * np.diff(at_s)).sum() == pytest.approx(amounts.sum())
    assert (found[at_s[:-1] >= 8.1e5] == 0.0).all()
    slow = [_overlap(from_s, to_s, amounts, at_s[place], at_s[place + 1]) for place in (3, 40, 80)]
    assert found[[3, 40, 80]].tolist() == pytest.approx(slow)


def _overlap(from_s: Floats, to_s: Floats, amounts: Floats, begin_s: float, end_s: float) -> float:
    inside = np.maximum(np.minimum(to_s, end_s) - np.maximum(from_s, begin_s), 0.0)
    return float((amounts * inside / (to_s - from_s)).sum() / (end_s - begin_s))
