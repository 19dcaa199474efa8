"""Time as a job has worked: its runs laid end to end, without the hours or days between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ray_pipeline.summary.recorded import RunSeen

MOST_BINS = 120
"""A series is drawn with so many points at most."""
_WIDTHS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_SHORTEST_S = 1e-3
_NOTHING = 1e-6
"""What is less is left over from rounding."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WorkTime:
    """Seconds of work. Of each run: when it began, in seconds since 1970, and how long it worked."""

    began_s: Floats
    took_s: Floats

    @classmethod
    def of(cls, runs: Sequence[RunSeen]) -> WorkTime:
        """That of these runs, the oldest first."""
        return cls(np.array([one.run.began_s for one in runs]), np.array([one.took_s for one in runs]))

    @property
    def total_s(self) -> float:
        """All of it."""
        return float(self.took_s.sum())

    @property
    def starts_s(self) -> Floats:
        """Where each run begins."""
        return np.concatenate([[0.0], np.cumsum(self.took_s)])[:-1]

    def at(self, run: NDArray[np.int32], moment_s: Floats) -> Floats:
        """Where moments of these runs are; nodes whose clocks differ from the driver's do not leave their run."""
        inside: Floats = np.clip(moment_s - self.began_s[run], 0.0, self.took_s[run])
        return self.starts_s[run] + inside

    def edges(self) -> Floats:
        """The edges of at most `MOST_BINS` bins of a round width that hold all of it; the last may be shorter."""
        return edges(self.total_s)


def edges(total_s: float) -> Floats:
    """Edges of bins from 0 to `total_s`, of a round width in seconds, or in days where it takes these."""
    days = int(np.ceil(total_s / _WIDTHS[-1] / MOST_BINS))
    width_s = next((width for width in _WIDTHS if width * MOST_BINS >= total_s), days * _WIDTHS[-1])
    inner = np.arange(0.0, total_s, width_s)
    return np.append(inner, total_s) if total_s > 0 else np.array([0.0])


def rate(from_s: Floats, to_s: Floats, amounts: Floats, at_s: Floats) -> Floats:
    """Amount a second between each two of the edges `at_s`; each amount is spread evenly from its begin to its end."""
    widths, bins = np.diff(at_s), len(at_s) - 1
    if not bins:
        return widths
    end = np.maximum(to_s, _SHORTEST_S)
    begin = np.minimum(from_s, end - _SHORTEST_S)
    slopes = amounts / (end - begin)
    first = np.clip(np.searchsorted(at_s, begin, side="right") - 1, 0, bins - 1)
    last = np.clip(np.searchsorted(at_s, end) - 1, first, bins - 1)
    in_first = slopes * (np.where(last > first, at_s[first + 1], end) - begin)
    in_last = np.where(last > first, slopes * (end - at_s[last]), 0.0)
    done = _sums(first, in_first, bins) + _sums(last, in_last, bins)
    # Between its first and its last bin an amount grows by its slope all the time.
    between = np.where(last > first, slopes, 0.0)
    rising = _sums(first + 1, between, bins + 1) - _sums(last, between, bins + 1)
    done += np.cumsum(rising)[:bins] * widths
    return np.where(done < _NOTHING, 0.0, done) / widths


def _sums(places: NDArray[np.int64], amounts: Floats, bins: int) -> Floats:
    return np.bincount(places, amounts, bins).astype(np.float64)  # of nothing it would be whole numbers
