"""Two jobs in the shared lane of one server: parts by weight, and one of higher priority that comes and goes.

    python -m benchmarks.jobs

First two jobs of the weights 3 and 1 run for a while. Then one of a higher priority comes beside one that runs, and
goes again: the first one has to stop at once, and to go on by itself. Nobody is online. Writes JSON and prints what was
seen.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from benchmarks.measure import parts, save
from benchmarks.stage import Way, await_parts, events_of, in_its_stride, rate, stage

ROWS = 512
"""So many make a chunk where shares are looked at. Each chunk costs a job some work besides, and with small ones two
jobs on two processors are so busy with it that they want less of the server than they may have; of large ones the
lighter job ends too few to be counted: two or three a minute, so that both are looked at for some minutes."""
MOMENT_ROWS = 32
"""Small parts show moments."""

WEIGHTS = (3, 1)
HIGHER_S = 20.0
"""How long the job of higher priority is there."""
SOON_S = 20.0
"""How long a job may take to go on."""


def main(
    repeats: Annotated[int, typer.Option(help="Turns.")] = 3,
    seconds: Annotated[float, typer.Option(help="How long two jobs are looked at.")] = 160.0,
) -> None:
    """Prepares, measures, reports."""
    ratios: list[float] = []
    yields_s: list[float] = []
    resumes_s: list[float] = []
    with stage() as there:
        heavy, light = (there.job(f"weight-{one}", f'lane = "shared"\nweight = {one}', ROWS) for one in WEIGHTS)
        low, high = (there.job(f"priority-{one}", f'lane = "shared"\npriority = {one}', MOMENT_ROWS) for one in (0, 1))
        for _ in range(repeats):
            ratios.append(by_weight(heavy, light, seconds))
            yielded_s, resumed_s = by_priority(low, high, there.server.grpc_url)
            yields_s.append(yielded_s)
            resumes_s.append(resumed_s)
            print(
                f"weights {WEIGHTS[0]}:{WEIGHTS[1]} give {ratios[-1]:.2f}:1; the server is rid of a lower priority "
                f"after {yielded_s:.2f} s; that ends a part {resumed_s:.2f} s after the end of the other",
                flush=True,
            )
    told = {"weights": ratios, "yields_s": yields_s, "resumes_s": resumes_s}
    save("jobs", {"what": "two jobs in the shared lane of one server; seconds, and a ratio of rows/s", "turns": told})
    for name, turns in told.items():
        print(f"{name:10} median {statistics.median(turns):.2f}, {min(turns):.2f} to {max(turns):.2f}")


def by_weight(heavy: Way, light: Way, seconds: float) -> float:
    """How many times as many rows a second the heavier job has."""
    with in_its_stride(light) as process, in_its_stride(heavy):
        await_parts(light, process, len(parts(light.output)) + 1)  # the one that it began alone does not count
        began_s = time.time()
        time.sleep(seconds)
        ended_s = time.time()
    return rate(heavy.output, began_s, ended_s) / rate(light.output, began_s, ended_s)


def by_priority(low: Way, high: Way, url: str) -> tuple[float, float]:
    """How many seconds after the higher job has come the server is rid of the lower one, and how many after the end of
    the higher one that ends its next part.
    """
    with in_its_stride(low):
        with in_its_stride(high):
            time.sleep(HIGHER_S)
            over_s = time.time()
        yielded_s = last(url, "yielded", low) - last(url, "holder came", high)
        while not any(over_s < moment_s for moment_s in ended(low)) and time.time() < over_s + SOON_S:
            time.sleep(0.1)
    return yielded_s, min((moment_s for moment_s in ended(low) if moment_s > over_s), default=float("inf")) - over_s


def ended(way: Way) -> Sequence[float]:
    """When each part was committed."""
    return [file.stat().st_mtime for file in parts(way.output)]


def last(url: str, event: str, way: Way) -> float:
    """When the limiter last wrote such an event of a job down."""
    return float([one["time"] for one in events_of(url) if one["event"] == event and way.name in one["job"]][-1])


if __name__ == "__main__":
    typer.run(main)
