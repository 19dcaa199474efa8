"""Four nodes beside one: how much faster a job gets with the nodes that score.

The nodes are simulated: each is a Ray node of its own on this machine, with a Triton of its own that the job starts
there; a node without a Triton reads, prepares and writes. The model waits a fixed time instead of computing, as if each
node had a device of its own, so what is measured is whether Rayton keeps all of them busy. Rates count from the end of
the files that the nodes write first to the end of the last. Writes JSON and prints a table.

    python -m benchmarks.nodes
    python -m benchmarks.nodes --chunks 12 --repeats 1      # a quick look
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer

from benchmarks.measure import Comparison, Contender, home, interleaved, module, report, write_job
from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.ray_nodes import ray_nodes
from tests.support.served_models import WAITS
from triton_models.config.pbtxt import to_pbtxt
from triton_models.repository.versions import read_config
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

NODES = 4
WAIT_S = 0.05
ROWS_PER_REQUEST, REQUESTS_PER_CHUNK = 64, 40
WIDTH = 16
COMPARISONS = (Comparison("nodes that score", f"{NODES} nodes", "1 node", 3.7),)
MODEL = 'name = "waits"\ninputs = { x = "x" }\noutputs = { y = "y" }'


class Same(torch.nn.Module):
    """What the card describes: `y = x`."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Takes [batch, 16]."""
        return {"y": x * 1}


def same() -> tuple[torch.nn.Module, tuple[torch.Tensor]]:
    """What `rayton export` is given."""
    return Same(), (torch.zeros(2, WIDTH),)


def main(
    chunks: Annotated[int, typer.Option(help="Chunks of two seconds each.")] = 32,
    repeats: Annotated[int, typer.Option()] = 3,
) -> None:
    """Prepares, measures, reports."""
    ensure_runtime(home(), print)
    with TemporaryDirectory() as temporary, ExitStack() as clusters:
        folder = Path(temporary)
        publish_waiting(folder / "models")
        write_rows(folder / "rows.parquet", chunks)
        contenders = {
            name: rayton(folder, name, nodes, clusters.enter_context(ray_nodes(nodes, head_cpus=2, cpus=0)).address)
            for name, nodes in ((f"{NODES} nodes", NODES), ("1 node", 1))
        }
        runs = interleaved(contenders, repeats, "y")
    what = {
        "what": f"a model that waits {WAIT_S} s for each request of {ROWS_PER_REQUEST} rows",
        "chunks": chunks,
        "rows_per_chunk": ROWS_PER_REQUEST * REQUESTS_PER_CHUNK,
        "rate": "rows per second from the end of the first files, one for each node, to the end of the last",
    }
    report("nodes", what, runs, COMPARISONS)


def publish_waiting(repository: Path) -> None:
    """Version 1 of `waits`: its card is that of an exported model, and a program answers in its place."""
    storage = open_storage(str(repository))
    export(ExportSpec(f"{__file__}:same", "waits", storage.uri, max_batch_size=ROWS_PER_REQUEST), storage)
    config = read_config(storage, "waits")
    assert config is not None
    config.backend, config.default_model_filename = "python", "model.py"
    config.parameters.clear()
    (repository / "waits" / "config.pbtxt").write_text(to_pbtxt(config))
    (repository / "waits" / "1" / "model.py").write_text(WAITS.replace("SECONDS", str(WAIT_S)))


def write_rows(path: Path, chunks: int) -> None:
    """One file with `id` and `x`, a row group for each chunk."""
    rows = chunks * ROWS_PER_REQUEST * REQUESTS_PER_CHUNK
    numbers = pa.array(np.random.default_rng(0).standard_normal(rows * WIDTH, np.float32))
    table = pa.table({"id": np.arange(rows), "x": pa.FixedSizeListArray.from_arrays(numbers, WIDTH)})
    pq.write_table(table, path, row_group_size=ROWS_PER_REQUEST * REQUESTS_PER_CHUNK)


def rayton(folder: Path, name: str, nodes: int, address: str) -> Contender:
    """`rayton score` on a cluster."""
    output = folder / name
    places = {"source": folder / "rows.parquet", "output": output, "repository": folder / "models"}
    rows = ROWS_PER_REQUEST * REQUESTS_PER_CHUNK
    job = write_job(folder / f"{name}.toml", **places, model=MODEL, rows_per_chunk=rows, url=None)
    return Contender(module("rayton", "score", job, "--ray-address", address), output, first=nodes)


if __name__ == "__main__":
    typer.run(main)
