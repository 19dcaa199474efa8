from __future__ import annotations

import math

import numpy as np
import pytest

from ray_pipeline.sharing.budget import batch_budget_s

SECONDS = np.full(100, 0.02)


def test_users_who_all_meet_a_batch_wait_for_the_rest_of_it() -> None:
    """95% of rests that are uniform on (0, S) are below 0.95 S."""
    assert batch_budget_s(SECONDS, 0.95, 0.058) == pytest.approx(0.038 / 0.95)


def test_a_batch_that_few_users_meet_may_be_longer() -> None:
    """Of the tenth who meet it, half may wait for too long."""
    assert batch_budget_s(SECONDS, 0.95, 0.058, meeting=0.1) == pytest.approx(0.038 / 0.5)


def test_no_batch_is_too_long_where_fewer_meet_it_than_may_be_late() -> None:
    assert math.isinf(batch_budget_s(SECONDS, 0.95, 0.058, meeting=0.04))


def test_users_who_wait_too_long_without_bulk_leave_it_nothing() -> None:
    late = np.concatenate([SECONDS, np.full(10, 1.0)])
    assert batch_budget_s(late, 0.95, 0.058) == 0.0
    assert batch_budget_s(late, 0.95, 0.058, meeting=0.01) == 0.0
