"""One job in the lane that it shares with online users, over time: what users saw, what bulk might do, what it did.

    python -m benchmarks.timeline burst     # users at 10 % of the machine, at 80 % for a while, and at 10 % again
    python -m benchmarks.timeline kills     # limiter and actor are killed while users are online
    python -m benchmarks.timeline own       # a lane of its own, whose server is killed

Users come before the job does, to know them alone. Prints what is wanted of such a run, and writes JSON and a picture.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.parquet as pq
import typer

from benchmarks.measure import RESULTS, parts, save
from benchmarks.online import Seen, Stretch, users
from benchmarks.over_time import (
    AFTER_S,
    BEFORE_S,
    BURST_S,
    EVERY_S,
    MAX_SLOWDOWN,
    Deed,
    Limited,
    Rows,
    Run,
    What,
    tell,
)
from benchmarks.picture import draw
from benchmarks.processes import TRITON, below, kind_of
from benchmarks.stage import TOKENS, events_of, in_its_stride, seconds_alone, stage
from triton_models.server.metrics import read_metrics
from triton_models.server.process import NodeServer

LITTLE, MUCH = 0.1, 0.8
SEED = 1


def main(what: Annotated[What, typer.Argument()]) -> None:
    """Runs, tells, draws."""
    with stage() as there:
        url = there.server.grpc_url
        lane = 'lane = "own"' if what is What.OWN else f'lane = "shared"\nmax_slowdown = {MAX_SLOWDOWN:g}'
        way = there.job("rayton", lane)
        stretches = stretches_of(what, seconds_alone(url))
        with users(url, "minilm", TOKENS, stretches, SEED) as alone:
            pass
        with in_its_stride(way) as job, counted(there.server) as counts:
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


if __name__ == "__main__":
    typer.run(main)
