from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import InputError
from ray_pipeline.sources.chunks import read_chunk
from ray_pipeline.sources.parquet import Parquet
from triton_models.storage import Storage


class ReplacedStorage(Storage):
    """Somebody writes another object in the place of one as soon as it is opened."""

    def open(self, path: str) -> pa.NativeFile:
        opened = super().open(path)
        write(self, path, rows=20)
        return opened


def write(storage: Storage, path: str, rows: int) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": range(rows)}), sink)
    storage.write(path, sink.getvalue())


def test_an_object_that_is_replaced_while_it_is_read_is_refused(tmp_path: Path) -> None:
    place = str(tmp_path), str(tmp_path), fs.LocalFileSystem()
    storage, replaced = Storage(*place), ReplacedStorage(*place)
    write(storage, "rows.parquet", rows=10)
    found = storage.stat("rows.parquet")
    assert found is not None
    survey = Parquet().survey(storage, found, 100)
    chunk = Chunk(survey.pieces)
    assert read_chunk(storage, chunk, survey.schema)["id"].to_pylist() == list(range(10))
    with pytest.raises(InputError, match=r"rows\.parquet has changed since the job was planned"):
        read_chunk(replaced, chunk, survey.schema)


def test_an_object_that_is_gone_is_named_as_such(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path), str(tmp_path), fs.LocalFileSystem())
    write(storage, "rows.parquet", rows=10)
    found = storage.stat("rows.parquet")
    assert found is not None
    survey = Parquet().survey(storage, found, 100)
    storage.delete("rows.parquet")
    with pytest.raises(InputError, match=r"rows\.parquet is gone since the job was planned"):
        read_chunk(storage, Chunk(survey.pieces), survey.schema)
