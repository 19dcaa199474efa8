from __future__ import annotations

import numpy as np
import pytest

from triton_models.doctor.pace import MOST_PER_S, QUIET_S, SHARE, at_rate, gentle

MOST_S = 30.0


def test_a_quick_model_gets_all_requests_and_no_more_than_fifty_a_second() -> None:
    pace = gentle(300, 0.001)
    assert pace.singles + 2 * pace.pairs == len(pace.moments()) == 300
    assert (pace.rate_per_s, pace.pairs, pace.pair_every_s) == (MOST_PER_S, 20, QUIET_S)
    assert pace.seconds == pytest.approx(260 / 50 + 20 * 0.6)


@pytest.mark.parametrize("service_s", [0.0001, 0.01, 0.1, 0.5, 2.0])
def test_the_usual_number_takes_half_a_minute_at_most_and_a_small_share_of_an_instance(service_s: float) -> None:
    pace = gentle(300, service_s)
    assert pace.seconds <= MOST_S + pace.pair_every_s
    requests = pace.singles + 2 * pace.pairs
    assert 1 <= requests <= 300
    assert pace.rate_per_s * service_s <= SHARE
    assert 2 * service_s / pace.pair_every_s <= SHARE * 1.001


def test_fewer_requests_take_less_time() -> None:
    assert gentle(30, 0.01).seconds < gentle(300, 0.01).seconds / 5
    assert gentle(1, 0.01).moments().tolist() == [0.0]


def test_a_very_slow_model_gets_one_request() -> None:
    pace = gentle(300, 60.0)
    assert (pace.singles, pace.pairs) == (1, 0)


def test_a_rate_that_somebody_wants_is_kept() -> None:
    pace = at_rate(300, 2.0, 0.5)
    assert len(pace.moments()) == 300
    assert np.diff(pace.moments()[: pace.singles]) == pytest.approx(0.5)


def test_the_second_of_a_pair_comes_while_the_first_one_runs_and_then_it_is_quiet() -> None:
    pace = gentle(60, 0.02)
    moments = pace.moments()
    assert (np.diff(moments) > 0).all()
    firsts, seconds = moments[pace.singles :].reshape(-1, 2).T
    assert (seconds - firsts).tolist() == pytest.approx([0.005, 0.01, 0.015, 0.02])
    assert np.diff(firsts).tolist() == pytest.approx([0.6] * 3)
