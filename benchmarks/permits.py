"""What permits cost: from asking the limiter of a node for one to having it, and giving it back.

Nobody is online, so that the limiter makes nobody wait; what is measured is the way there and back, of one actor of a
job alone and of four at once, each a process of its own. They hold each permit for a batch that keeps the server busy
for 20 ms, of which it may cost 2 %; and for nothing, which shows how many the limiter hands out at most. Writes JSON
and prints a table.

    python -m benchmarks.permits
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import service_pb2

from benchmarks.measure import ROOT, home, module, save
from benchmarks.online import Client
from ray_pipeline.sharing.holder import Holder
from ray_pipeline.sharing.limit import Bound
from ray_pipeline.sharing.listener import NoListener
from ray_pipeline.sharing.messages import Hello
from tests.support.served_models import AFFINE, ONE_CPU, affine, write_version
from tests.support.triton import start
from triton_models.server.runtime import ensure_runtime

BATCH_S = 0.02
GOAL_MS = 0.4
"""Two percent of a batch of 20 ms."""
ACTORS = (1, 4)
WARM_UP = 200
BOUND = Bound(0.95, max_slowdown=1.5)
TRIED_ROUNDS, TRIES = 2000, 50


@dataclass(frozen=True)
class Run:
    """So many actors at once, with batches or without; what a permit of theirs cost, and how many they had a second."""

    actors: int
    batches: bool
    median_ms: float
    p99_ms: float
    per_s: float


def main(permits: Annotated[int, typer.Option(help="Permits that each actor takes in turn.")] = 1000) -> None:
    """Starts a server, measures, reports."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with served(folder / "tried", TRIED_ROUNDS) as url:
            client = Client(url, row())
            tried_s = statistics.median(client.alone() for _ in range(TRIES))
        with served(folder / "models", round(TRIED_ROUNDS * BATCH_S / tried_s)) as url:
            taken = partial(measured, url, permits, folder)
            runs = [taken(actors, batches) for batches in (True, False) for actors in ACTORS]
    report(permits, runs)


@contextmanager
def served(repository: Path, rounds: int) -> Iterator[str]:
    """A server of a model with so many rounds; gives its address."""
    write_version(repository, "affine", affine(rounds), f"max_batch_size: 8\n{AFFINE}{ONE_CPU}")
    with start(ensure_runtime(home(), print), repository) as server:
        yield server.grpc_url


def row() -> bytes:
    """A request with one row."""
    request = service_pb2.ModelInferRequest(model_name="affine", model_version="1")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(bytes(16))
    return bytes(request.SerializeToString())


def measured(url: str, permits: int, folder: Path, actors: int, batches: bool) -> Run:
    """Lets actors take permits at once."""
    command = module("benchmarks.permits", "--actor", url, permits, folder, int(batches))
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(actors)]
    said = [[float(word) for word in one.communicate()[0].split()] for one in running]
    assert all(len(one) == permits + 1 for one in said), "an actor has failed; see above"
    per_s = sum(one[0] for one in said)
    costs_ms = [cost_ms for one in said for cost_ms in one[1:]]
    return Run(actors, batches, statistics.median(costs_ms), statistics.quantiles(costs_ms, n=100)[-1], per_s)


def actor(address: str, permits: int, rayton_home: Path, batches: bool) -> None:
    """Takes permits one after the other; prints how many a second, and the milliseconds that each cost in all."""
    client = Client(address, row())
    holder = Holder(address, Hello("job", os.getpid(), BOUND, 1, row()), rayton_home, NoListener())

    def cost_ms() -> float:
        asked_s = time.perf_counter()
        permit = holder.take(BATCH_S)
        had_s = time.perf_counter()
        if batches:
            client.alone()
        done_s = time.perf_counter()
        permit.give(done_s - had_s, "success")
        return 1000 * (had_s - asked_s + time.perf_counter() - done_s)

    for _ in range(WARM_UP):
        cost_ms()
    began_s = time.perf_counter()
    costs_ms = [cost_ms() for _ in range(permits)]
    print(permits / (time.perf_counter() - began_s), *(f"{one_ms:.4f}" for one_ms in costs_ms))
    holder.close()


def report(permits: int, runs: Sequence[Run]) -> None:
    """Writes the JSON and prints the table."""
    share = f"share of a batch of {BATCH_S * 1e3:.0f} ms"
    table = Table("each held for", "actors at once", "median ms", "p99 ms", share, "permits/s", box=SIMPLE_HEAD)
    for run in runs:
        cost = (f"{run.median_ms:.3f}", f"{run.p99_ms:.3f}", f"{run.median_ms / BATCH_S / 1e3:.1%}")
        table.add_row("a batch" if run.batches else "nothing", str(run.actors), *cost, f"{run.per_s:,.0f}")
    save("permits", {"what": __doc__, "permits": permits, "goal_ms": GOAL_MS, "runs": [asdict(run) for run in runs]})
    Console(width=130).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--actor"]:
        actor(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5] == "1")
    else:
        typer.run(main)
