"""When a server is asked: often enough to see what is wrong, too seldom to be felt by its users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHARE = 0.15
"""Of the time of one instance."""
MOST_PER_S = 50.0
REQUESTS_A_PAIR = 15
"""Of so many requests, two are a pair."""
SINGLES_S = 0.06
PAIRS_S = 0.04
"""Time for each request that was asked for, at most: 30 s for the usual 300."""
SHORTEST_S = 5.0
"""Of either kind: a slow model gets some requests even if few are asked for."""
QUIET_S = 0.6
"""After a pair: a batcher that misses a request hears of it with the next one, or after 500 ms."""
OFFSETS = (0.25, 0.5, 0.75, 1.0)
"""When the second of a pair comes, in the times that a request takes."""


@dataclass(frozen=True)
class Pace:
    """Single requests at a steady rate, then pairs of which the second comes while the first one runs.

    Pairs, because requests at a steady rate hardly ever meet: of a config that makes a batcher stall, 300 of them saw
    nothing at all, and 12 pairs saw 3 to 5 stalls. `service_s` is what a request takes.
    """

    singles: int
    rate_per_s: float
    pairs: int
    pair_every_s: float
    service_s: float

    @property
    def seconds(self) -> float:
        """How long all of it takes."""
        return self.singles / self.rate_per_s + self.pairs * self.pair_every_s

    def moments(self) -> NDArray[np.float64]:
        """When to send each request, in seconds from the beginning, in order."""
        singles = np.arange(self.singles) / self.rate_per_s
        firsts = self.singles / self.rate_per_s + np.arange(self.pairs) * self.pair_every_s
        seconds = firsts + self.service_s * np.resize(OFFSETS, self.pairs)
        return np.concatenate([singles, np.stack([firsts, seconds], axis=1).ravel()])


def gentle(requests: int, service_s: float) -> Pace:
    """The pace for a model that takes `service_s` for a request; a slow one gets fewer than asked for.

    Both its time and what it takes from the users are bounded.
    """
    rate_per_s = min(MOST_PER_S, SHARE / service_s)
    pair_every_s = max(QUIET_S, 2 * service_s / SHARE)
    pairs = min(requests // REQUESTS_A_PAIR, _within(PAIRS_S * requests, 1 / pair_every_s))
    singles = max(1, min(requests - 2 * pairs, _within(SINGLES_S * requests, rate_per_s)))
    return Pace(singles, rate_per_s, pairs, pair_every_s, service_s)


def at_rate(requests: int, rate_per_s: float, service_s: float) -> Pace:
    """The pace that somebody wants, who gets all requests, whatever time they take."""
    pairs = requests // REQUESTS_A_PAIR
    return Pace(requests - 2 * pairs, rate_per_s, pairs, max(QUIET_S, 2 * service_s), service_s)


def _within(longest_s: float, rate_per_s: float) -> int:
    return int(max(longest_s, SHORTEST_S) * rate_per_s)
