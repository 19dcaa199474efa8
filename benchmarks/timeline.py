"""One job in the lane that it shares with online users, over time: what users saw, what bulk might do, what it did.

    python -m benchmarks.timeline burst     # users at 10 % of the machine, at 80 % for a while, and at 10 % again
    python -m benchmarks.timeline kills     # limiter and actor are killed while users are online
    python -m benchmarks.timeline own       # a lane of its own, whose server is killed

Users come before the job does, to know them alone. Prints what is wanted of such a run, and writes JSON and a picture.
"""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.measure import RESULTS, home, parts, save
from benchmarks.online import Seen, Stretch, users
from benchmarks.processes import TRITON, below, kind_of
from benchmarks.sharing import (
    ONE,
    TOKENS,
    TUNINGS,
    exported,
    in_its_stride,
    job_of,
    seconds_alone,
    write_texts,
)
from ray_pipeline.sharing.connection import log_file_of
from triton_models.server.metrics import read_metrics
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import ensure_runtime

ROWS = 16384
LITTLE, MUCH = 0.1, 0.8
BEFORE_S, BURST_S, AFTER_S = 50.0, 20.0, 40.0
LEARNT_S = 10.0
STRUCK_S = 10.0
"""So long after a deed users are looked at apart."""

SEED = 1
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


def main(what: Annotated[What, typer.Argument()]) -> None:
    """Runs, tells, draws."""
    runtime = ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_texts(folder / "texts", ROWS)
        version = exported(folder / "models", TUNINGS[ONE])
        with NodeServer.start(runtime, ServerOptions(folder / "models", folder / "triton.log")) as server:
            url = server.grpc_url
            lane = 'lane = "own"' if what is What.OWN else f'lane = "shared"\nmax_slowdown = {MAX_SLOWDOWN:g}'
            way = job_of("rayton", folder, folder / "texts", version.parent.parent, url, lane)
            stretches = stretches_of(what, seconds_alone(url))
            with users(url, "minilm", TOKENS, stretches, SEED) as alone:
                pass
            with in_its_stride(way) as job, counted(server) as counts:
                deeds = deeds_of(what, url, job.pid)
                with users(url, "minilm", TOKENS, stretches, SEED) as seen:
                    for deed in deeds:
                        time.sleep(max(0.0, seen.began_s + deed.at_s - time.monotonic()))
                        deed.do()
            rows = committed(way.output) if what is What.OWN else less_users(counts, seen)
            limits = [] if what is What.OWN else limits_of(url)
    run = Run(
        what,
        alone,
        seen,
        rows.since(seen.began_s),
        [replace(one, at_s=one.at_s - seen.began_s) for one in limits],
        deeds,
    )
    told = tell(run)
    picture = RESULTS / f"timeline_{what}.svg"
    draw(run).savefig(picture)
    save(f"timeline_{what}", told)
    print(picture)


def stretches_of(what: What, row_s: float) -> list[Stretch]:
    """The users; one row alone takes `row_s`."""
    middle = [Stretch(MUCH / row_s, BURST_S)] if what is What.BURST else []
    return [Stretch(LITTLE / row_s, BEFORE_S), *middle, Stretch(LITTLE / row_s, AFTER_S)]


def deeds_of(what: What, url: str, job: int) -> list[Deed]:
    """What is done to a job, and when."""
    match what:
        case What.BURST:
            return []
        case What.OWN:
            return [Deed(BEFORE_S, "the lane's server is killed", lambda: kill(server_of(job)))]
        case What.KILLS:
            return [
                Deed(BEFORE_S - 20, "the limiter is killed", lambda: kill(noted(url, "limiter began"))),
                Deed(BEFORE_S + 10, "the actor is killed", lambda: kill(noted(url, "holder came"))),
            ]


def kill(pid: int) -> None:
    """Kills a process that this run has started."""
    os.kill(pid, signal.SIGKILL)


def server_of(job: int) -> int:
    """The server that a job keeps."""
    (found,) = (pid for pid in below(job, {job}) if kind_of(pid) == TRITON)
    return found


def events_of(url: str) -> list[dict[str, Any]]:
    """What the limiter of a server has written down."""
    return [json.loads(line) for line in log_file_of(url, home()).read_text().splitlines()]


def noted(url: str, event: str) -> int:
    """The process that the last event of a kind is about."""
    return int([one["pid"] for one in events_of(url) if one["event"] == event][-1])


def limits_of(url: str) -> list[Limited]:
    """All limits of the run; `at_s` is of the machine's monotonic clock."""
    offset_s = time.time() - time.monotonic()
    return [
        Limited(one["time"] - offset_s, one["in_flight"], one["batch_s"], one["cause"])
        for one in events_of(url)
        if one["event"] == "limit"
    ]


@contextmanager
def counted(server: NodeServer) -> Iterator[list[tuple[float, float]]]:
    """Moments and how many rows of all clients a server has done by then, while the block runs."""
    counts: list[tuple[float, float]] = []
    over = threading.Event()

    def count() -> None:
        while not over.wait(EVERY_S):
            counts.append((time.monotonic(), read_metrics(server.metrics_url).total("nv_inference_count")))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield counts
    finally:
        over.set()
        thread.join()


def less_users(counts: Sequence[tuple[float, float]], seen: Seen) -> Rows:
    """What is not the users': bulk, and a canary now and then."""
    moments, total = np.array(counts).T
    answered = np.sort(seen.began_s + seen.arrivals_s + seen.latencies_s)
    return Rows(moments, total - np.searchsorted(answered, moments))


def committed(output: Path) -> Rows:
    """By the files that a job has committed."""
    offset_s = time.time() - time.monotonic()
    ended = sorted((file.stat().st_mtime - offset_s, int(pq.read_metadata(file).num_rows)) for file in parts(output))
    moments, rows = np.array(ended).T
    return Rows(moments, np.cumsum(rows))


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


if __name__ == "__main__":
    typer.run(main)
