from __future__ import annotations

import numpy as np
import pytest

from ray_pipeline.sharing.quiet import Quiet


def told(latencies_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Quiet:
    """Of silences of eight samples each."""
    quiet = Quiet()
    for silence in latencies_s.reshape(-1, 8):
        quiet.begin()
        for latency_s in silence:
            quiet.add(float(latency_s))
    return quiet


def test_the_least_that_a_quantile_may_be_is_seldom_more_than_it_is() -> None:
    """About five times of six, as a deviation is taken off; by the samples alone it is twice as often more."""
    random = np.random.default_rng(0)
    quiets = [told(random.uniform(0.01, 0.011, 32)) for _ in range(400)]
    p95_s = 0.01095
    assert sum(quiet.quantile(0.95) > p95_s for quiet in quiets) > 0.3 * len(quiets)
    assert sum(quiet.least_quantile(0.95) > p95_s for quiet in quiets) < 1 / 6 * len(quiets)


def test_more_samples_leave_less_doubt() -> None:
    steps = np.linspace(0.01, 0.011, 120)
    few, many = told(steps[::5]), told(steps)
    assert few.quantile(0.95) == pytest.approx(many.quantile(0.95), rel=0.01)
    assert few.least_quantile(0.95) < many.least_quantile(0.95) < many.quantile(0.95)


def test_a_silence_in_which_even_the_fastest_was_slow_does_not_count() -> None:
    quiet = told(np.concatenate([np.full(16, 0.01), np.full(8, 0.016)]))
    assert len(quiet.samples()) == 16


def test_silences_of_long_ago_go() -> None:
    quiet = told(np.concatenate([np.full(8, 0.01), np.full(15 * 8, 0.011)]))
    assert quiet.quantile(0.0) == 0.011


def test_what_was_told_is_told_anew_when_there_is_news() -> None:
    quiet = told(np.full(8, 0.01))
    assert quiet.quantile(0.5) == 0.01
    for _ in range(16):
        quiet.add(0.012)
    assert quiet.quantile(0.5) == 0.012
