"""What is seen of one job beside online users, over time, and what is wanted of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.online import Seen

BEFORE_S, BURST_S, AFTER_S = 50.0, 20.0, 40.0
LEARNT_S = 10.0
STRUCK_S = 10.0
"""So long after a deed users are looked at apart."""

QUANTILES = (0.5, 0.95, 0.99)
MAX_SLOWDOWN = 3.0
EVERY_S = 0.25
WINDOW_S = 2.0
BACK = 0.8
"""Bulk is back with this share of its earlier rate."""


class What(StrEnum):
    """What happens in the run."""

    BURST = "burst"
    KILLS = "kills"
    OWN = "own"


@dataclass(frozen=True)
class Deed:
    """Something that is done to the run at a moment after its users have come."""

    at_s: float
    name: str
    do: Callable[[], None]


@dataclass(frozen=True, eq=False)
class Rows:
    """How many rows bulk had scored, at moments in seconds."""

    moments_s: NDArray[np.float64]
    total: NDArray[np.float64]

    def since(self, start_s: float) -> Rows:
        """The same, with moments that count from `start_s`."""
        return replace(self, moments_s=self.moments_s - start_s)

    def rate(self, start_s: float, end_s: float) -> float:
        """Rows a second between two moments."""
        return float(np.diff(np.interp([start_s, end_s], self.moments_s, self.total))[0] / (end_s - start_s))


@dataclass(frozen=True)
class Limited:
    """A limit, as the limiter wrote it down."""

    at_s: float
    in_flight: int
    batch_s: float | None
    cause: str


@dataclass(frozen=True, eq=False)
class Run:
    """All of a run; moments are seconds since its users came. `alone` is what the same users saw without it."""

    what: What
    alone: Seen
    seen: Seen
    rows: Rows
    limits: Sequence[Limited]
    deeds: Sequence[Deed]

    @property
    def end_s(self) -> float:
        """No user comes later."""
        return BEFORE_S + (BURST_S if self.what is What.BURST else 0.0) + AFTER_S

    def spans(self) -> dict[str, tuple[float, float]]:
        """Those whose users are told apart. The first seconds are left out: the limiter does not know them yet."""
        if self.what is What.BURST:
            over_s = BEFORE_S + BURST_S
            return {"before": (LEARNT_S, BEFORE_S), "burst": (BEFORE_S, over_s), "after": (over_s, self.end_s)}
        first_s = self.deeds[0].at_s
        struck = {deed.name: (deed.at_s, deed.at_s + STRUCK_S) for deed in self.deeds}
        return {"before": (LEARNT_S, first_s), **struck, "all": (LEARNT_S, self.end_s)}

    def moments(self) -> list[tuple[float, str]]:
        """Those from which bulk has to come back."""
        if self.what is What.BURST:
            return [(BEFORE_S + BURST_S, "the end of the burst")]
        return [(deed.at_s, deed.name) for deed in self.deeds]

    def gives_way_s(self, moment_s: float) -> float:
        """How long after a moment the limit is zero for the first time."""
        return next(one.at_s for one in self.limits if one.at_s >= moment_s and one.in_flight == 0) - moment_s

    def back_s(self, moment_s: float, usual: float) -> float:
        """How long after a moment bulk has made rows for `WINDOW_S` at a good part of its usual rate."""
        ends = np.arange(moment_s + WINDOW_S, self.end_s, EVERY_S)
        back = (end for end in ends if self.rows.rate(end - WINDOW_S, end) >= BACK * usual)
        return float(next(back, math.inf)) - moment_s


def tell(run: Run) -> dict[str, Any]:
    """Prints and gives what is wanted of the run."""
    spans = run.spans()
    told: dict[str, Any] = {"max_slowdown": MAX_SLOWDOWN, "users": {}, "after": {}}
    for name, (start_s, end_s) in spans.items():
        seen, alone = run.seen.between(start_s, end_s), run.alone.between(start_s, end_s)
        at_ms, alone_ms = quantiles_ms(seen), quantiles_ms(alone)
        ratios = {name: at / alone_ms[name] for name, at in at_ms.items()}
        errors = int(np.isnan(seen.latencies_s).sum())
        bulk = run.rows.rate(start_s, end_s)
        told["users"][name] = {"ms": at_ms, "ratios": ratios, "errors": errors, "bulk_rows_per_s": bulk}
        words = ", ".join(f"{key} {at_ms[key]:.0f} ms ({ratios[key]:.2f})" for key in at_ms)
        print(f"{name:8} {start_s:3.0f} to {end_s:3.0f} s: {words}, {errors} errors; bulk {bulk:.0f} rows/s")
    usual = run.rows.rate(*spans["before"])
    if usual == 0:
        raise SystemExit("bulk scored nothing before anything was done to it; see the log of the job")
    if run.what is What.BURST:
        told["after"]["gives_way_s"] = gives = run.gives_way_s(BEFORE_S)
        print(f"bulk gives way {gives:.2f} s after the burst begins")
    for moment_s, name in run.moments():
        told["after"][name] = back = run.back_s(moment_s, usual)
        print(f"bulk has {BACK:.0%} of its earlier rate {back:.1f} s after {name}")
    return told


def quantiles_ms(seen: Seen) -> dict[str, float]:
    """The latencies at `QUANTILES`, named as in p95."""
    return {f"p{quantile * 100:.0f}": seen.quantile_ms(quantile) for quantile in QUANTILES}
