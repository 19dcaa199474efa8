"""What permits cost: from asking the limiter of a node for one, through having it, to having given it back.

Nobody is online, so that the limiter never makes anybody wait; what is measured is the way there and back, of one actor
alone and of four at once, each a process of its own. Writes JSON and prints a table.

    python -m benchmarks.permits
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from tritonclient.grpc import service_pb2

from benchmarks.measure import ROOT, home, module, save
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


def main(permits: Annotated[int, typer.Option(help="Permits that each actor takes in turn.")] = 5000) -> None:
    """Starts a server, measures, reports."""
    taken: dict[int, list[float]] = {}
    with TemporaryDirectory() as temporary:
        repository = Path(temporary) / "models"
        write_version(repository, "affine", affine(), f"max_batch_size: 8\n{AFFINE}{ONE_CPU}")
        with start(ensure_runtime(home(), print), repository) as server:
            for actors in ACTORS:
                command = module("benchmarks.permits", "--actor", server.grpc_url, permits, temporary)
                running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(actors)]
                taken[actors] = [float(word) for one in running for word in one.communicate()[0].split()]
    report(permits, taken)


def actor(address: str, permits: int, rayton_home: Path) -> None:
    """Takes permits one after the other, and prints the milliseconds that each took in all."""
    row = service_pb2.ModelInferRequest(model_name="affine", model_version="1")
    row.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    row.raw_input_contents.append(bytes(16))
    hello = Hello(f"job {os.getpid()}", os.getpid(), Bound(0.95, max_slowdown=1.5), 1, row.SerializeToString())
    holder = Holder(address, hello, rayton_home, NoListener())
    taken_ms = []
    for _ in range(WARM_UP + permits):
        began_s = time.perf_counter()
        holder.take(BATCH_S).give(BATCH_S, "success")
        taken_ms.append(1000 * (time.perf_counter() - began_s))
    holder.close()
    print(*(f"{one_ms:.4f}" for one_ms in taken_ms[WARM_UP:]))


def report(permits: int, taken_ms: dict[int, list[float]]) -> None:
    """Writes the JSON and prints the table."""
    table = Table(
        "actors at once", "median ms", "p99 ms", f"share of a batch of {BATCH_S * 1e3:.0f} ms", box=SIMPLE_HEAD
    )
    runs = {}
    for actors, each_ms in taken_ms.items():
        median_ms, p99_ms = statistics.median(each_ms), statistics.quantiles(each_ms, n=100)[-1]
        runs[actors] = {"median_ms": median_ms, "p99_ms": p99_ms}
        table.add_row(str(actors), f"{median_ms:.3f}", f"{p99_ms:.3f}", f"{median_ms / BATCH_S / 1e3:.1%}")
    save("permits", {"what": __doc__, "permits": permits, "goal_ms": GOAL_MS, "runs": runs})
    Console(width=130).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--actor"]:
        actor(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        typer.run(main)
