"""Distributions of which only the number of values in each bucket is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def together(counts: Iterable[Sequence[int]]) -> list[int]:
    """The sum of distributions over the same buckets; empty if there is none."""
    return [sum(bucket) for bucket in zip(*counts, strict=True)]


def quantile(counts: Sequence[int], ends: Sequence[float], share: float) -> float | None:
    """The value below which this share of the values lies; None if there are none.

    `ends` are the upper ends of all buckets but the last, which has none: a quantile in there is said to be the last of
    `ends`. Within its bucket the values are taken to be spread evenly, as Prometheus' `histogram_quantile` does.
    """
    wanted, below = share * sum(counts), 0
    for bucket, count in enumerate(counts):
        if count and below + count >= wanted:
            if bucket == len(ends):
                return ends[-1]
            start = ends[bucket - 1] if bucket else 0.0
            return start + (ends[bucket] - start) * (wanted - below) / count
        below += count
    return None
