"""Four nodes beside one: how much faster a job gets with the nodes that score.

The nodes are simulated: each is a Ray node of its own on this machine, with a Triton of its own that the job starts
there; a node without a Triton reads, prepares and writes. The model waits a fixed time instead of computing, as if each
node had a device of its own, so what is measured is whether Rayton keeps all of them busy. Rates count from the end of
the files that the nodes write first to the end of the last. Writes JSON and prints a table.

    python -m benchmarks.nodes
    python -m benchmarks.nodes --chunks 12 --repeats 1      # a quick look
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from ray.cluster_utils import Cluster

from benchmarks.measure import Comparison, Contender, home, interleaved, module, report
from exporter.export import export
from exporter.spec import ExportSpec
from triton_models.config.pbtxt import to_pbtxt
from triton_models.repository.versions import read_config
from triton_models.server.runtime import ensure_runtime
from triton_models.storage import open_storage

NODES = 4
WAIT_S = 0.05
ROWS_PER_REQUEST, REQUESTS_PER_CHUNK = 64, 40
WIDTH = 16
COMPARISONS = (Comparison("nodes that score", f"{NODES} nodes", "1 node", 3.7),)
NODE: dict[str, Any] = {"node_ip_address": "127.0.0.1", "object_store_memory": 100 * 1024**2}

WAITS = f"""
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            time.sleep({WAIT_S})
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]))
        return answers
"""

JOB = """\
[input]
uri = "{source}"
keep = ["id"]
rows_per_chunk = {rows}

[[models]]
name = "waits"
inputs  = {{ x = "x" }}
outputs = {{ y = "y" }}

[output]
uri = "{output}"

[triton]
repository = "{repository}"
"""


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
            name: rayton(folder, name, nodes, clusters.enter_context(cluster(nodes)))
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
    (repository / "waits" / "1" / "model.py").write_text(WAITS)


def write_rows(path: Path, chunks: int) -> None:
    """One file with `id` and `x`, a row group for each chunk."""
    rows = chunks * ROWS_PER_REQUEST * REQUESTS_PER_CHUNK
    numbers = pa.array(np.random.default_rng(0).standard_normal(rows * WIDTH, np.float32))
    table = pa.table({"id": np.arange(rows), "x": pa.FixedSizeListArray.from_arrays(numbers, WIDTH)})
    pq.write_table(table, path, row_group_size=ROWS_PER_REQUEST * REQUESTS_PER_CHUNK)


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """A Ray cluster whose head prepares, with so many nodes that score; gives its address."""
    made: Any = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 2, "include_dashboard": False})
    try:
        for _ in range(nodes):
            made.add_node(**NODE, num_cpus=0, resources={"triton": 1})
        yield str(made.address)
    finally:
        made.shutdown()


def rayton(folder: Path, name: str, nodes: int, address: str) -> Contender:
    """`rayton score` on a cluster."""
    output, job = folder / name, folder / f"{name}.toml"
    places = {"source": folder / "rows.parquet", "output": output, "repository": folder / "models"}
    job.write_text(JOB.format(rows=ROWS_PER_REQUEST * REQUESTS_PER_CHUNK, **places))
    return Contender(module("rayton", "score", job, "--ray-address", address), output, first=nodes)


if __name__ == "__main__":
    typer.run(main)
