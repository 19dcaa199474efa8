"""What a job might do at the servers, and what a request of a user took, over the time that it worked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ray_pipeline.summary.recorded import Recorded, Table
from ray_pipeline.summary.worktime import Floats, WorkTime


@dataclass(frozen=True)
class LimitBin:
    """The limits that held at any node between two moments of work: the least, the mean and the most batches in flight,
    and the mean of the seconds that a batch might take, None where none might be sent, or none was bounded."""

    from_s: float
    to_s: float
    least: int
    mean: float
    most: int
    batch_s: float | None


@dataclass(frozen=True)
class CanaryBin:
    """What requests like those of users took between two moments of work, with bulk silent or beside it: the 5th, the
    50th and the 95th percentile, in seconds."""

    from_s: float
    to_s: float
    silent: bool
    p5_s: float
    p50_s: float
    p95_s: float


@dataclass(frozen=True)
class Canaries:
    """All requests like those of users, with bulk silent or beside it: their number, median and 95th percentile in
    seconds."""

    silent: bool
    count: int
    p50_s: float
    p95_s: float


def limit_bins(recorded: Recorded, work: WorkTime, edges: Floats) -> list[LimitBin]:
    """The limits over time; a limit holds at its node until the next is heard of there, or its run ends."""
    spans = list(_spans(recorded.limits, work))
    if not spans:
        return []
    from_s, to_s, in_flight, batch_s = (np.array(column) for column in zip(*spans, strict=True))
    found = []
    for begin_s, end_s in pairwise(edges.tolist()):
        held_s = np.minimum(to_s, end_s) - np.maximum(from_s, begin_s)
        there = held_s > 0
        if there.any():
            weights, flights = held_s[there], in_flight[there]
            bounded = there & (in_flight > 0) & ~np.isnan(batch_s)
            mean_s = float(np.average(batch_s[bounded], weights=held_s[bounded])) if bounded.any() else None
            mean = float(np.average(flights, weights=weights))
            found.append(LimitBin(begin_s, end_s, int(flights.min()), mean, int(flights.max()), mean_s))
    return found


def canary_bins(recorded: Recorded, work: WorkTime, edges: Floats) -> list[CanaryBin]:
    """What canaries took over time."""
    seen = recorded.canaries
    if not len(seen) or len(edges) < 2:
        return []
    at_s = work.at(seen["run"], seen["at_s"])
    bins = np.clip(np.searchsorted(edges, at_s, side="right") - 1, 0, len(edges) - 2)
    found = []
    for place, (begin_s, end_s) in enumerate(pairwise(edges.tolist())):
        for silent in (True, False):
            took_s = seen["took_s"][(bins == place) & (seen["silent"] == silent)]
            if len(took_s):
                found.append(CanaryBin(begin_s, end_s, silent, *np.quantile(took_s, (0.05, 0.5, 0.95)).tolist()))
    return found


def canaries(recorded: Recorded) -> list[Canaries]:
    """Those with bulk silent and those beside it, where there were any."""
    seen, found = recorded.canaries, []
    for silent in (True, False):
        took_s: NDArray[np.float64] = seen["took_s"][seen["silent"] == silent]
        if len(took_s):
            found.append(Canaries(silent, len(took_s), *np.quantile(took_s, (0.5, 0.95)).tolist()))
    return found


def _spans(limits: Table, work: WorkTime) -> Iterator[tuple[float, float, int, float]]:
    """From when to when each limit held, in seconds of work."""
    at_s = work.at(limits["run"], limits["at_s"])
    ends_s = work.starts_s + work.took_s
    for run, node in sorted({(int(one["run"]), int(one["node"])) for one in limits[["run", "node"]]}):
        ours = np.flatnonzero((limits["run"] == run) & (limits["node"] == node))
        ours = ours[np.argsort(at_s[ours], kind="stable")]
        until_s = np.append(at_s[ours][1:], ends_s[run])
        for place, to_s in zip(ours, until_s, strict=True):
            yield float(at_s[place]), float(to_s), int(limits["in_flight"][place]), float(limits["batch_s"][place])
