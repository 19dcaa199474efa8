"""The best that any limiter could do beside users of one instance, as a batch that runs is not interrupted.

Times batches of each size, in turns, on a real server that has nothing else to do. Then users of single rows (open
loop, Poisson) and bulk in batches of one fixed size are played through a server that takes as long: who waits goes
first, all at once, and bulk's next batch is there at the very moment at which nobody waits, as if permits, messages and
bulk's own processes took no time at all. Prints for each size what users would see, against the same users alone, and
what bulk would get of what they leave, against batches of `EXCLUSIVE_ROWS` without a pause. Writes JSON.

    python -m benchmarks.bound
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.measure import save
from benchmarks.online import Client, rows_of
from benchmarks.stage import TOKENS, stage

SIZES = tuple(range(1, 13))
EXCLUSIVE_ROWS = 32
QUANTILES = (0.5, 0.95, 0.99)
USERS = 50_000

Times = Mapping[int, NDArray[np.float64]]
"""The seconds of batches, by their rows."""


@dataclass(frozen=True)
class Beside:
    """Bulk in batches of `rows`: the quantiles of users as ratios to those alone, and bulk's part of what is left."""

    rows: int
    batch_ms: float
    slowdowns: tuple[float, ...]
    of_left: float


def main(
    utilisation: Annotated[float, typer.Option(help="Users' rate times the seconds of one row.")] = 0.12,
    max_slowdown: Annotated[float, typer.Option(help="What p95 may be of that alone.")] = 3.0,
    turns: Annotated[int, typer.Option(help="So many batches are timed of each size.")] = 60,
) -> None:
    """Measures, plays, reports."""
    with stage() as there:
        times = timed(there.server.grpc_url, (*SIZES, EXCLUSIVE_ROWS), turns)
    rate = utilisation / float(np.median(times[1]))
    exclusive = EXCLUSIVE_ROWS / times[EXCLUSIVE_ROWS].mean()
    alone, _ = played(times, rate, 0)
    found = []
    for rows in SIZES:
        latencies, bulk = played(times, rate, rows)
        slowdowns = np.quantile(latencies, QUANTILES) / np.quantile(alone, QUANTILES)
        of_left = bulk / exclusive / (1 - utilisation)
        found.append(Beside(rows, 1e3 * float(np.median(times[rows])), tuple(slowdowns.tolist()), float(of_left)))
    report(found, max_slowdown)
    save("bound", {"utilisation": utilisation, "exclusive_rows_per_s": exclusive, "beside": [asdict(b) for b in found]})


def timed(url: str, sizes: Sequence[int], turns: int) -> Times:
    """The seconds of batches, one of each size in a turn: the machine may be slower in one minute than in another."""
    clients = {rows: Client(url, rows_of("minilm", rows, TOKENS, 0)) for rows in sizes}
    for client in clients.values():
        client.alone()
    taken = [{rows: client.alone() for rows, client in clients.items()} for _ in range(turns)]
    return {rows: np.array([turn[rows] for turn in taken]) for rows in sizes}


def played(times: Times, rate_per_s: float, bulk_rows: int) -> tuple[NDArray[np.float64], float]:
    """The latencies of users beside bulk in batches of so many rows (0: alone), and bulk's rows a second."""
    random = np.random.default_rng(0)
    arrivals = np.cumsum(random.exponential(1 / rate_per_s, USERS))
    latencies = np.empty(USERS)
    now, answered, bulk = 0.0, 0, 0
    while answered < USERS:
        waiting = min(int(np.searchsorted(arrivals, now, side="right")) - answered, max(SIZES))
        if waiting:
            now += random.choice(times[waiting])
            latencies[answered : answered + waiting] = now - arrivals[answered : answered + waiting]
            answered += waiting
        elif bulk_rows:
            now += random.choice(times[bulk_rows])
            bulk += bulk_rows
        else:
            now = arrivals[answered]
    return latencies, bulk / now


def report(found: Sequence[Beside], max_slowdown: float) -> None:
    """Prints a line for each size, and the best of those that users may have beside them."""
    table = Table("rows", "batch ms", "p50", "p95", "p99", "bulk, of left", box=SIMPLE_HEAD)
    for one in found:
        table.add_row(str(one.rows), f"{one.batch_ms:.1f}", *(f"{s:.2f}" for s in one.slowdowns), f"{one.of_left:.2f}")
    Console().print(table)
    within = [one for one in found if one.slowdowns[1] <= max_slowdown]
    if within:
        best = max(within, key=lambda one: one.of_left)
        print(f"with p95 of at most {max_slowdown:g} times: {best.of_left:.2f}, in batches of {best.rows} rows")
    else:
        print(f"no batch is small enough for a p95 of {max_slowdown:g} times")


if __name__ == "__main__":
    typer.run(main)
