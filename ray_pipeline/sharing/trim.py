"""Corrects what was computed by what was seen. Pure arithmetic."""

from __future__ import annotations

import math

LEAST, MOST = 0.05, 1.5
_STEP = 0.2


class Trim:
    """A factor that settles where just the share `1 - quantile` of the samples is over its bound.

        factor *= exp(step x (1 - quantile)) for a sample within the bound, exp(-step x quantile) for one beyond

    which stands still on average if one of 1 / (1 - quantile) is beyond (stochastic approximation: H. Robbins and S.
    Monro, Annals of Mathematical Statistics 22, 1951). It falls with single samples and rises over many.
    """

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self.factor = 1.0

    def learn(self, *, within: bool) -> None:
        """Takes a sample."""
        exponent = 1 - self._quantile if within else -self._quantile
        self.factor = min(max(self.factor * math.exp(_STEP * exponent), LEAST), MOST)

    def try_again(self, factor: float) -> None:
        """Rises above this factor by a sample, so that the first one beyond does not bring it back; at most to what was
        computed. Where bulk is still there are no samples to rise by.
        """
        self.factor = max(self.factor, min(factor * math.exp(_STEP), 1.0))
