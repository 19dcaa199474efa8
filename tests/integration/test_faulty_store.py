"""A job whose object store throttles, fails, breaks off and loses answers: in the end every row is there once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.checker import check_every_row_once
from tests.support.faulty_s3 import Fault, FaultyProxy, Rule, Watch, faulty, some_of_each
from tests.support.jobs import failing_score, score, write_job
from tests.support.onnx_models import DOUBLES, onnx_file
from tests.support.s3 import object_store
from tests.support.triton import start
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.storage import open_storage

BUCKET = "corpus"
OBJECTS, ROWS_EACH, ROWS_PER_CHUNK = 3, 400, 150
CHUNKS = 9
MODEL = 'name = "doubles"\ninputs = { x = "x" }\noutputs = { y = "answer" }'
BAD = (5, 399)
"""Rows of each object that cannot be scored."""

PARTS_BEFORE_THE_OUTAGE = 3


@dataclass(frozen=True)
class Place:
    """A store with the input, and a server with the model."""

    endpoint_url: str
    server: NodeServer
    repository: Path

    def job(self, folder: Path, proxy: FaultyProxy, timeout_s: float) -> Path:
        """A job file; all of its input and output goes through the proxy."""
        return write_job(
            folder / "job.toml",
            input=f"s3://{BUCKET}/in",
            output=f"s3://{BUCKET}/{folder.name}",
            triton={"url": self.server.grpc_url, "repository": self.repository},
            model=MODEL,
            rows_per_chunk=ROWS_PER_CHUNK,
            endpoint_url=proxy.address,
            store_timeout_s=timeout_s,
        )

    def files(self, folder: Path) -> list[str]:
        """What the job has written, asked of the store itself."""
        output = open_storage(f"s3://{BUCKET}/{folder.name}", self.endpoint_url)
        return [one.path for one in output.objects(hidden=True)]

    def check(self, folder: Path) -> None:
        """All of the job's output is as it has to be."""
        good = [row for row in range(OBJECTS * ROWS_EACH) if row % ROWS_EACH not in BAD]
        expected = [{"id": row, "answer": [2.0 * row, 1.0, -2.0]} for row in good]
        rejected = [(f"rows-{number}.parquet", row) for number in range(OBJECTS) for row in BAD]
        check_every_row_once(expected, f"s3://{BUCKET}/{folder.name}", self.endpoint_url, rejected=rejected)


@pytest.fixture(scope="module")
def place(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("doubles")
    repository = folder / "models"
    source = onnx_file(folder / "doubles.onnx", DOUBLES)
    export(ExportSpec(str(source), "doubles", str(repository)), open_storage(str(repository)))
    with object_store(BUCKET) as endpoint_url, start(runtime, repository) as server:
        corpus = open_storage(f"s3://{BUCKET}/in", endpoint_url)
        for number in range(OBJECTS):
            first = number * ROWS_EACH
            x = [None if row in BAD else [float(first + row), 0.5, -1.0] for row in range(ROWS_EACH)]
            table = pa.table({"id": range(first, first + ROWS_EACH), "x": pa.array(x, pa.list_(pa.float32()))})
            sink = pa.BufferOutputStream()
            pq.write_table(table, sink, row_group_size=100)
            corpus.write(f"rows-{number}.parquet", sink.getvalue())
        yield Place(endpoint_url, server, repository)


def outage_after(parts: int) -> Watch:
    """Every request fails from the moment on that a part more than these is to be written."""
    written, out = count(), Event()

    def watch(method: str, key: str, client_port: int) -> Fault | None:
        if method == "PUT" and fnmatchcase(key, "*/data/*") and next(written) >= parts:
            out.set()
        return Fault.RESET if out.is_set() else None

    return watch


@pytest.mark.parametrize("seed", [1, 2])
def test_a_store_that_often_fails_costs_time_and_no_row(home: Path, place: Place, tmp_path: Path, seed: int) -> None:
    rules = [
        Rule(Fault.LOST_ANSWER, methods=("PUT",), keys="*/data/*", at_most=4),
        Rule(Fault.CUT, methods=("GET",), keys="*/in/*", at_most=4),
        *some_of_each(0.04),
    ]
    with faulty(place.endpoint_url, *rules, seed=seed) as proxy:
        printed = score(place.job(tmp_path, proxy, timeout_s=60), home)
    print({fault.name: proxy.injected[fault] for fault in Fault}, "of", proxy.requests.total(), "requests")
    assert f"1,200 rows = 1,194 scored + 6 rejected, in {CHUNKS} parts" in printed
    assert all(proxy.injected[fault] for fault in Fault)
    place.check(tmp_path)


def test_an_outage_longer_than_the_patience_ends_the_job_in_words_and_the_same_command_finishes_it(
    home: Path, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHETEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    with faulty(place.endpoint_url) as proxy:
        well, proxy.watch = proxy.watch, outage_after(PARTS_BEFORE_THE_OUTAGE)
        job = place.job(tmp_path, proxy, timeout_s=1)
        said = failing_score(job, home)
        assert f"s3://{BUCKET}/" in said
        assert "the object store fails; tried 3 times over" in said
        assert "run the same command to go on" in said
        assert "AKIAOFTHETEST" not in said
        assert "s3cr3t" not in said
        print(said)
        parts = [path for path in place.files(tmp_path) if path.startswith("data/")]
        assert len(parts) == PARTS_BEFORE_THE_OUTAGE
        assert "_SUCCESS" not in place.files(tmp_path)

        proxy.watch = well
        printed = score(job, home)
    assert f"{len(parts)} chunks are committed" in printed
    place.check(tmp_path)
