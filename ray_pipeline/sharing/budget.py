"""How long a batch may run so that users wait no longer than they may. Pure arithmetic."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LONGEST_S = 60.0
_HALVINGS = 40


def batch_budget_s(quiet_s: NDArray[np.float64], quantile: float, allowed_s: float, meeting: float = 1.0) -> float:
    """The longest time S that bulk's batches may run, one after the other, for `quantile` of the users' latencies to
    stay within `allowed_s`; 0 where users wait longer without bulk, infinite where no batch is too long.

    All in seconds; `quiet_s` are latencies without bulk.

    A batch that runs cannot be interrupted. Users who come at moments of their own find it anywhere in its time
    (Poisson arrivals see time averages: R. Wolff, Operations Research 30, 1982). The part `meeting` of them, all where
    the server has one instance, and else those who find the one left to them taken, wait for a rest that is uniform on
    (0, S):

        P(latency <= t) = mean over x in quiet of [x <= t] (1 - meeting) + min(1, max(0, (t - x) / S)) meeting

    which falls as S grows: S is found by halving.
    """
    room_s = allowed_s - quiet_s
    within = float(np.mean(room_s >= 0))
    if within < quantile:
        return 0.0
    if within * (1 - meeting) >= quantile:
        return math.inf
    least, most = 0.0, LONGEST_S
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if within * (1 - meeting) + meeting * np.mean(np.clip(room_s / middle, 0, 1)) >= quantile:
            least = middle
        else:
            most = middle
    return least if not math.isclose(least, 0.0, abs_tol=1e-9) else 0.0
