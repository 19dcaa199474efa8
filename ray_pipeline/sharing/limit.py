"""What online users may notice, and what bulk may do. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNLIMITED = 16
"""Batches in flight when nobody is online: more than a job ever has."""

AIM_SHARE = 0.9
"""What is aimed at: this part of a latency in seconds, or of what users may wait longer than without bulk. They come as
they like, and who aims at a bound itself is beyond it half of the time."""

BY_HAND = "paused by hand"
"""Why a job that an operator has paused may do nothing."""


@dataclass(frozen=True)
class Bound:
    """The most that users may wait: a `quantile` of their latency is at most `slo_s` seconds, or `max_slowdown` times
    what it is when bulk is silent.
    """

    quantile: float
    max_slowdown: float | None = None
    slo_s: float | None = None

    def aim_s(self, quiet_s: float) -> float:
        """The latency to aim at for the quantile, which is at least `quiet_s` without bulk; both in seconds."""
        if self.slo_s is not None:
            return AIM_SHARE * self.slo_s
        assert self.max_slowdown is not None
        return (1 + AIM_SHARE * (self.max_slowdown - 1)) * quiet_s


@dataclass(frozen=True)
class Limit:
    """What bulk may do at a server: so many batches in flight (0: none), each running `batch_s` seconds at most.

    `cause` says why, for people. `users_online` is false only if it is known that there are none.
    """

    in_flight: int
    batch_s: float
    cause: str
    users_online: bool = True


Bounds = Sequence[Bound]
"""Those of all jobs at a server: each is to be kept."""
