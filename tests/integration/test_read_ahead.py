"""A job reads and prepares what is soon scored, and not all that its memory would hold."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.checker import check_every_row_once
from tests.support.faulty_s3 import Fault, faulty
from tests.support.jobs import start_score, write_job
from tests.support.onnx_models import DOUBLES, onnx_file
from tests.support.s3 import object_store
from tests.support.triton import start
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

BUCKET = "corpus"
OBJECTS, ROWS_EACH = 300, 20
MODEL = 'name = "doubles"\ninputs = { x = "x" }\noutputs = { y = "answer" }'
ROW = pa.list_(pa.float32())
STILL_S, PATIENCE_S = 8.0, 120.0


@pytest.fixture
def store() -> Iterator[str]:
    """The address of a store with many small objects."""
    with object_store(BUCKET) as endpoint_url:
        corpus = open_storage(f"s3://{BUCKET}/in", endpoint_url)
        for number in range(OBJECTS):
            ids = range(number * ROWS_EACH, (number + 1) * ROWS_EACH)
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table({"id": ids, "x": pa.array([[float(one), 0.5, -1.0] for one in ids], ROW)}), sink)
            corpus.write(f"rows-{number:03}.parquet", sink.getvalue())
        yield endpoint_url


@pytest.fixture
def server(runtime: Runtime, tmp_path: Path) -> Iterator[NodeServer]:
    source = onnx_file(tmp_path / "doubles.onnx", DOUBLES)
    export(ExportSpec(str(source), "doubles", str(tmp_path / "models")), open_storage(str(tmp_path / "models")))
    with start(runtime, tmp_path / "models") as running:
        yield running


def test_reading_waits_for_scoring(store: str, server: NodeServer, home: Path, tmp_path: Path) -> None:
    pause_file, output, read = tmp_path / "pause", tmp_path / "out", set()
    pause_file.touch()
    news = threading.Event()

    def watch(method: str, key: str, client_port: int) -> Fault | None:
        if method == "GET" and key.endswith(".parquet") and (output / "_plan.parquet").exists() and key not in read:
            read.add(key)
            news.set()
        return None

    with faulty(store) as proxy:
        proxy.watch = watch
        job = write_job(
            tmp_path / "job.toml",
            input=f"s3://{BUCKET}/in",
            output=output,
            triton={"url": server.grpc_url, "repository": tmp_path / "models"},
            model=MODEL,
            rows_per_chunk=ROWS_EACH,
            endpoint_url=proxy.address,
            sharing={"lane": "shared", "max_slowdown": 3.0, "pause_file": pause_file},
        )
        with start_score(job, home) as process:
            patience_s = PATIENCE_S
            while news.wait(patience_s):
                news.clear()
                patience_s = STILL_S
            read_ahead = len(read)
            pause_file.unlink()
            printed, _ = process.communicate()
    assert process.returncode == 0, printed
    print(f"{read_ahead} of {OBJECTS} objects were read while nothing was scored")
    assert 0 < read_ahead <= OBJECTS / 3
    expected = [{"id": row, "answer": [2.0 * row, 1.0, -2.0]} for row in range(OBJECTS * ROWS_EACH)]
    check_every_row_once(expected, str(output))
