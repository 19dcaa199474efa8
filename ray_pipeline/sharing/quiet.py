"""How fast a server answers while bulk is silent."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

KEPT = 120
"""Samples; older ones go, so that a server that grows slower or faster by itself is followed."""


class Quiet:
    """Latencies of single rows that met none of bulk's batches, in seconds, the newest last.

    Only such samples: a baseline that takes in what bulk causes would let bulk cause ever more.
    """

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=KEPT)
        self.taken = 0

    def add(self, latency_s: float) -> None:
        """Takes a sample."""
        self._samples.append(latency_s)
        self.taken += 1

    def samples(self) -> NDArray[np.float64]:
        """All of them, shape [samples]."""
        return np.array(self._samples)

    def quantile(self, quantile: float) -> float:
        """A quantile in seconds. There must be a sample."""
        return float(np.quantile(self._samples, quantile))
