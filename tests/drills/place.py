"""Where drills take place: a store with the input, a server with a slow model, a Ray cluster of two nodes that work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.drills.plan import CHUNKS
from tests.support.checker import check_every_row_once
from tests.support.faulty_s3 import FaultyProxy
from tests.support.jobs import write_job
from tests.support.leftovers import command, descendants
from tests.support.ray_nodes import RayNodes, kill, ray_nodes
from tests.support.s3 import object_store
from tests.support.served_models import AFFINE, ONE_CPU, write_python_version
from tests.support.sums import MODEL, numbers, publish_affine
from tests.support.triton import start
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

BUCKET = "corpus"
OBJECTS, ROWS_EACH = 3, 160
ROWS_PER_CHUNK = OBJECTS * ROWS_EACH // CHUNKS
BAD = (7, 8, 130)
"""Rows of each object that cannot be scored: they have no numbers."""

SERVER_PATIENCE_S = 60
"""How long a job waits for the server: longer than the server takes to come back."""
STORE_PATIENCE_S = 3
"""How long a job waits for the store: longer than it throttles, shorter than an outage."""

SLOW_SUMS = """
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            time.sleep(0.04)
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            sums = {"scaled": 2 * x, "total": x.sum(axis=1, keepdims=True)}
            tensors = [pb_utils.Tensor(name, array) for name, array in sums.items()]
            answers.append(pb_utils.InferenceResponse(tensors))
        return answers
"""
"""What the model `affine` answers, after a while: a job lasts long enough to be struck in its middle."""


class Place:
    """`server` is the one that runs at the moment."""

    def __init__(self, runtime: Runtime, folder: Path, endpoint_url: str, nodes: RayNodes) -> None:
        self.endpoint_url, self.nodes = endpoint_url, nodes
        self._runtime = runtime
        self._published = publish_affine(folder)
        self._served = folder / "served"
        write_python_version(self._served, "affine", SLOW_SUMS, f"max_batch_size: 8\n{AFFINE}{ONE_CPU}")
        self.server = start(runtime, self._served)

    def job(self, folder: Path, proxy: FaultyProxy) -> Path:
        """A job file; all of its input and output goes through the proxy."""
        return write_job(
            folder / "job.toml",
            input=f"s3://{BUCKET}/in",
            output=f"s3://{BUCKET}/{folder.name}",
            triton={"url": self.server.grpc_url, "repository": self._published},
            model=MODEL,
            rows_per_chunk=ROWS_PER_CHUNK,
            timeout_s=SERVER_PATIENCE_S,
            endpoint_url=proxy.address,
            store_timeout_s=STORE_PATIENCE_S,
        )

    def check(self, folder: Path) -> None:
        """All of the job's output is as it has to be."""
        good = [row for row in range(OBJECTS * ROWS_EACH) if row % ROWS_EACH not in BAD]
        expected = [{"id": row, "total": [row + 6.0]} for row in good]
        rejected = [(f"rows-{number}.parquet", row) for number in range(OBJECTS) for row in BAD]
        check_every_row_once(expected, f"s3://{BUCKET}/{folder.name}", self.endpoint_url, rejected=rejected)

    def kill_server(self) -> None:
        """The server's own process is gone, without a word."""
        below = descendants(self.server.keeper.pid)
        kill(*(pid for pid in below if command(pid).partition(" ")[0].endswith("tritonserver")))

    def restart_server(self) -> None:
        """Starts the server again where it was."""
        ports = self.server.options
        assert self.server.wait(timeout_s=30) != 0
        self.server = start(self._runtime, self._served, grpc_port=ports.grpc_port, http_port=ports.http_port)


@contextmanager
def place(runtime: Runtime, folder: Path) -> Iterator[Place]:
    """The place with its input; gone afterwards."""
    with object_store(BUCKET) as endpoint_url, ray_nodes(2) as nodes:
        _write_input(endpoint_url)
        found = Place(runtime, folder, endpoint_url, nodes)
        try:
            yield found
        finally:
            found.server.stop()


def _write_input(endpoint_url: str) -> None:
    corpus = open_storage(f"s3://{BUCKET}/in", endpoint_url)
    for number in range(OBJECTS):
        table = numbers(range(number * ROWS_EACH, (number + 1) * ROWS_EACH))
        x = [None if row in BAD else values for row, values in enumerate(table["x"].to_pylist())]
        sink = pa.BufferOutputStream()
        pq.write_table(table.set_column(1, "x", pa.array(x, table["x"].type)), sink, row_group_size=ROWS_PER_CHUNK)
        corpus.write(f"rows-{number}.parquet", sink.getvalue())
