"""What is to be said of a model, from its live config and from what single requests saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config.cautions import shared_lane_cautions, sharing_cautions
from triton_models.config.instances import instances

STALL_MS = 400.0
TIMES_THE_MEDIAN = 10
MOST_STALLED = 0.01
"""A larger share of stalled requests is no accident of a busy machine."""


@dataclass(frozen=True)
class Seen:
    """What single requests saw: milliseconds, NaN where none was answered, and what was said of those that failed.

    A request stalled if it took both `STALL_MS` and `TIMES_THE_MEDIAN` times the median.
    """

    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    stalled: int
    failures: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """One version of a model: `reasons` why it is not safe to share, and `remarks` on one that may be."""

    model: str
    version: str
    instances: int
    seen: Seen
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_safe(self) -> bool:
        """Whether bulk may be beside its online users."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """In words."""
        return "safe to share" if self.is_safe else "not safe to share"


def seen(latencies_s: Sequence[float], failures: Sequence[str]) -> Seen:
    """Quantiles of what was answered; each is a latency that was seen, with no smaller share at or below it."""
    taken_ms = 1000 * np.array(latencies_s, np.float64)
    p50, p95, p99, largest = (_quantile(taken_ms, share) for share in (0.5, 0.95, 0.99, 1.0))
    stalled = int(np.sum((taken_ms >= STALL_MS) & (taken_ms > TIMES_THE_MEDIAN * p50)))
    return Seen(len(taken_ms) + len(failures), p50, p95, p99, largest, stalled, tuple(failures))


def diagnosis(model: str, version: str, config: ModelConfig, seen: Seen) -> Diagnosis:
    """Puts together what the live config says and what was measured."""
    reasons, remarks = sharing_cautions(config), [f"in a shared lane, {one}" for one in shared_lane_cautions(config)]
    if seen.stalled:
        stalls = f"{seen.stalled} of {seen.requests} requests took more than {STALL_MS:g} ms and {TIMES_THE_MEDIAN} "
        if seen.stalled <= MOST_STALLED * seen.requests:
            remarks.append(f"{stalls}times the median; ask again with more --requests to see whether that was chance")
        elif reasons:
            reasons.append(f"{stalls}times the median; change what is named above and see whether they are gone")
        else:
            reasons.append(
                f"{stalls}times the median, and its config gives no cause; see what else keeps the machine or the "
                "model busy, and ask again"
            )
    if seen.failures:
        reasons.append(
            f"{len(seen.failures)} of {seen.requests} requests failed ({seen.failures[0]}); look at the server's log"
        )
    return Diagnosis(model, version, instances(config), seen, tuple(reasons), tuple(remarks))


def _quantile(values: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float:
    return float(np.quantile(values, share, method="inverted_cdf")) if len(values) else float("nan")
