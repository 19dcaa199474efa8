"""How fast a server answers while bulk is silent."""

from __future__ import annotations

import math
from collections import deque
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

KEPT = 15
"""Silences; older ones go, so that a server that grows slower or faster by itself is followed."""

SLOW = 1.5
"""How many times as slow as usual even the fastest sample is when a machine does something else."""

MOST = 64
"""Samples of one silence that are kept."""


class Quiet:
    """Latencies of single rows that met none of bulk's batches, in seconds, silence by silence.

    Only such samples: a baseline that takes in what bulk causes would let bulk cause ever more. And none of a silence
    in which even the fastest was slow: the machine had something else to do for a moment, and users know it otherwise.
    """

    def __init__(self) -> None:
        self._silences: deque[list[float]] = deque(maxlen=KEPT)
        self.taken = 0
        self._counting: NDArray[np.float64] | None = None
        self._quantiles: dict[float, float] = {}

    def begin(self) -> None:
        """Another silence begins."""
        if not self._silences or self._silences[-1]:
            self._silences.append([])
            self._forget()

    def add(self, latency_s: float) -> None:
        """Takes a sample of the present silence."""
        if len(self._silences[-1]) < MOST:
            self._silences[-1].append(latency_s)
            self.taken += 1
            self._forget()

    def samples(self) -> NDArray[np.float64]:
        """Those that count, shape [samples]."""
        if self._counting is None:
            silences = [silence for silence in self._silences if silence]
            usual_s = median_low(min(silence) for silence in silences) if silences else 0.0
            self._counting = np.array(
                [one for silence in silences if min(silence) <= SLOW * usual_s for one in silence]
            )
        return self._counting

    def quantile(self, quantile: float) -> float:
        """A quantile of them in seconds. There must be a sample."""
        if quantile not in self._quantiles:  # they are asked for far more often than there is news
            self._quantiles[quantile] = float(np.quantile(self.samples(), quantile))
        return self._quantiles[quantile]

    def least_quantile(self, quantile: float) -> float:
        """What a quantile of all that there could be is at least, by the samples there are, in seconds; five times of
        six. There must be a sample.

        Among n samples the rank of a quantile q has the standard deviation sqrt(n q (1 - q)); one of it is taken off
        (the usual interval of an order statistic: W. Conover, Practical Nonparametric Statistics, 1999, section 3.2).
        So a few samples, of which one in twenty was slow by chance, do not let users wait for longer.
        """
        deviation = math.sqrt(quantile * (1 - quantile) / len(self.samples()))
        return self.quantile(max(quantile - deviation, 0.0))

    def _forget(self) -> None:
        self._counting = None
        self._quantiles.clear()
