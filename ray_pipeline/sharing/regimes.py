"""What is known of a server at each rate of users. Pure arithmetic.

How long users wait without bulk depends on how many there are; what was learned at a rate is kept for its return.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ray_pipeline.sharing.patience import Patience
from ray_pipeline.sharing.quiet import Quiet
from ray_pipeline.sharing.trim import Trim
from ray_pipeline.sharing.users import FAST_S, SLOW_S, Users

OTHER_RATE = 1.6
"""A rate that is so many times another is another."""

LEAST_RATE = 2.0
"""Users a second below which rates are not told apart: a few seconds hold too few of them."""

AVERAGE_S = 30.0

_untried = partial(Patience, first_s=2.0, longest_s=60.0)
"""Where users wait too long even beside batches of one row, these are tried again so long after, at first and at most.
A try lasts a few canaries, and those who come in it are too few to move a p95."""


@dataclass
class Regime:
    """What is known while users come at about one `rate` a second: latencies without bulk, how often and when bulk was
    silent for them, a correction for each bound, and when no batch was short enough. `age_s` is how long the rate was
    seen.
    """

    rate: float
    trims: list[Trim]
    quiet: Quiet = field(default_factory=Quiet)
    too_slow: Patience = field(default_factory=_untried)
    silences: int = 0
    silent_s: float = -math.inf
    seen_s: float = 0.0
    age_s: float = 0.0

    def correct_anew(self, trims: list[Trim]) -> None:
        """Takes corrections for other bounds: what was too slow by the old ones need not be so by these."""
        self.trims, self.too_slow = trims, _untried()

    def follow(self, now_s: float, rate: float) -> None:
        """Takes the rate of now: the average of all that was seen, and later of the last half minute or so."""
        span_s, self.seen_s = min(now_s - self.seen_s, SLOW_S), now_s
        self.age_s = min(self.age_s + span_s, AVERAGE_S)
        if self.age_s > 0:
            self.rate += (max(rate, LEAST_RATE) - self.rate) * span_s / self.age_s

    def is_near(self, rate: float) -> bool:
        """Whether the rate is about this one's."""
        return self.rate / OTHER_RATE <= max(rate, LEAST_RATE) <= self.rate * OTHER_RATE


class Regimes:
    """Those met so far, and the `present` one. `new_trims` makes the corrections of a new one."""

    def __init__(self, new_trims: Callable[[], list[Trim]]) -> None:
        self._new_trims = new_trims
        self.forget()

    def forget(self) -> None:
        """The server is another one: nothing is known."""
        self.all: list[Regime] = []
        self.present = self._at(0.0)

    def follow(self, now_s: float, users: Users) -> bool:
        """Takes how users come now; gives whether they come at another rate than before."""
        regime = self.present
        slow, fast = users.rate(now_s, SLOW_S), users.rate(now_s, FAST_S)
        if fast > slow and surprising(fast, FAST_S, 2 * max(regime.rate, slow), math.inf):
            return self._enter(now_s, fast)  # a burst
        if regime.is_near(slow) or not surprising(slow, SLOW_S, regime.rate, regime.age_s):
            regime.follow(now_s, slow)
            return False
        if slow > regime.rate or fast >= slow:
            return self._enter(now_s, slow)
        if self._known(fast) is not None or not surprising(fast, FAST_S, slow, SLOW_S):
            return self._enter(now_s, fast)
        return False  # the rate is falling, and it is not yet known how far

    def _enter(self, now_s: float, rate: float) -> bool:
        self.present = self._at(rate)
        self.present.seen_s = now_s
        return True

    def _at(self, rate: float) -> Regime:
        known = self._known(rate)
        if known is None:
            known = Regime(max(rate, LEAST_RATE), self._new_trims())
            self.all.append(known)
        return known

    def _known(self, rate: float) -> Regime | None:
        near = [regime for regime in self.all if regime.is_near(rate)]
        return min(near, key=lambda regime: abs(regime.rate - rate), default=None)


def surprising(rate: float, span_s: float, usual: float, seen_s: float) -> bool:
    """Whether so many users a second, over `span_s` seconds, hardly come by chance where the `usual` rate is that of
    `seen_s` seconds.

    Counts of Poisson arrivals have the standard deviation sqrt(mean), and so has that from which the usual rate comes;
    one of more than four is seen once in ten thousand.
    """
    mean = usual * span_s
    return abs(rate * span_s - mean) > 4 * math.sqrt(mean * (1 + span_s / max(seen_s, FAST_S))) + 1
