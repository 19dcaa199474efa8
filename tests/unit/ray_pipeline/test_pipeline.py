from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from ray_pipeline.errors import InputError
from ray_pipeline.pipeline import Flow, _read
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


def test_an_object_that_is_replaced_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path), str(tmp_path), fs.LocalFileSystem()
    storage, replaced = Storage(*place), ReplacedStorage(*place)
    write(storage, "rows.parquet", rows=10)
    found = storage.stat("rows.parquet")
    assert found is not None
    survey = Parquet().survey(storage, found, 100)
    monkeypatch.setattr("ray_pipeline.pipeline.ray.get", lambda flow: flow)

    def read(storage: Storage) -> list[pa.Table]:
        return _read(survey.chunks[0], Flow(storage, storage, survey.schema, (), ("id",)))  # type: ignore[arg-type]

    assert read(storage)[0]["id"].to_pylist() == list(range(10))
    with pytest.raises(InputError, match=r"rows\.parquet has changed since the job was planned"):
        read(replaced)
