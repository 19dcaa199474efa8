"""Quantiles of counted buckets."""

from __future__ import annotations

import numpy as np
import pytest

from ray_pipeline.telemetry.buckets import quantile, together

ENDS = (1.0, 2.0, 4.0)


@pytest.mark.parametrize(
    ("counts", "share", "wanted"),
    [
        ((0, 0, 0, 0), 0.5, None),
        ((), 0.5, None),
        ((4, 0, 0, 0), 0.5, 0.5),
        ((0, 4, 0, 0), 0.5, 1.5),
        ((2, 0, 2, 0), 0.5, 1.0),
        ((2, 0, 2, 0), 0.75, 3.0),
        ((0, 0, 0, 3), 0.5, 4.0),
        ((1, 1, 1, 1), 1.0, 4.0),
    ],
)
def test_a_quantile_lies_evenly_in_its_bucket(counts: tuple[int, ...], share: float, wanted: float | None) -> None:
    assert quantile(counts, ENDS, share) == wanted


def test_it_is_within_a_bucket_of_the_true_one() -> None:
    values = np.random.default_rng(1).lognormal(-3, 1, 10_000)
    ends = tuple(np.geomspace(0.001, 10, 40))
    counts = np.bincount(np.searchsorted(ends, values), minlength=len(ends) + 1)
    for share in (0.05, 0.5, 0.95, 0.99):
        found = quantile(counts.tolist(), ends, share)
        assert found is not None
        assert found == pytest.approx(np.quantile(values, share), rel=0.27)  # the ratio of two neighbours is 1.27


def test_distributions_are_added_up() -> None:
    assert together([(1, 2), (3, 4)]) == [4, 6]
    assert together([]) == []
