"""A picture of one job beside online users, over time."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.over_time import BEFORE_S, MAX_SLOWDOWN, Limited, Run


def draw(run: Run) -> Figure:
    """Latencies of users, the limit and bulk's rate over time, one above the other."""
    figure = Figure((10, 8), layout="constrained")
    axes: list[Axes] = list(figure.subplots(3, 1, sharex=True))
    latency, limit, rate = axes
    latency.plot(run.seen.arrivals_s, run.seen.latencies_s * 1e3, ".", markersize=3, label="a user's request")
    usual_ms = run.alone.between(0, BEFORE_S).quantile_ms(0.95)
    latency.axhline(usual_ms, color="grey", linewidth=1, label="p95 of these users alone")
    if run.limits:
        latency.axhline(MAX_SLOWDOWN * usual_ms, color="tab:red", linewidth=1, label=f"{MAX_SLOWDOWN:g} times that")
        moments = [one.at_s for one in run.limits] + [run.end_s]
        allowed = [allowed_ms(one) for one in run.limits]
        limit.step(moments, [*allowed, allowed[-1]], where="post")
    latency.set_ylabel("latency of users, ms")
    latency.set_yscale("log")
    latency.legend(loc="upper right")
    limit.set_ylabel("a batch may run, ms")
    starts = np.arange(0, run.end_s - 1, 1.0)
    rate.step(starts, [run.rows.rate(start, start + 1) for start in starts], where="post")
    rate.set_ylabel("bulk, rows/s")
    rate.set_xlabel("seconds since users came")
    rate.set_xlim(0, run.end_s)
    for axis in axes:
        axis.grid(alpha=0.3)
        for moment_s, _ in run.moments():
            axis.axvline(moment_s, color="black", linestyle=":", linewidth=1)
    for moment_s, name in run.moments():
        latency.annotate(name, (moment_s, 1.02), xycoords=("data", "axes fraction"), fontsize=9)
    return figure


def allowed_ms(one: Limited) -> float:
    """How long a batch may run: 0 if none may; nothing that could be drawn if it may be of any length."""
    if one.in_flight == 0:
        return 0.0
    return one.batch_s * 1e3 if one.batch_s is not None else math.nan
