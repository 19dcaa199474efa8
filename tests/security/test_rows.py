"""Rows that are scored, and samples, come from others: nothing in them is run, and their names are no files."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exporter.errors import SourceError
from exporter.proofs.given import given_cases
from exporter.sources.onnx_file import open_onnx
from ray_pipeline.errors import InputError
from ray_pipeline.output.claim import read_plan
from ray_pipeline.sources.base import Format
from ray_pipeline.sources.listing import format_of
from ray_pipeline.sources.tar import Tar
from tests.support.hostile import Runs
from tests.support.onnx_models import onnx_file
from tests.support.sources import own_columns, read_whole, survey_of
from triton_models.storage import open_storage


def npy(array: Any, mark: Path | None = None) -> bytes:
    kept = io.BytesIO()
    np.save(kept, np.array([Runs(mark)], np.object_) if mark else array, allow_pickle=True)
    return kept.getvalue()


def npz(name: str, content: bytes) -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr(name, content)
    return kept.getvalue()


@pytest.mark.parametrize("kind", ["objects", "a bare pickle", "no archive", "one array", "half an archive"])
def test_samples_that_are_a_pickle_are_not_opened(tmp_path: Path, mark: Path, kind: str) -> None:
    whole = npz("x.npy", npy(np.ones((2, 3), np.float32)))
    content = {
        "objects": npz("x.npy", npy(None, mark)),
        "a bare pickle": pickle.dumps(Runs(mark)),
        "no archive": b"PK\x03\x04",
        "one array": npy(np.ones(3)),
        "half an archive": whole[: len(whole) // 2],
    }[kind]
    (tmp_path / "samples.npz").write_bytes(content)
    source = open_onnx(onnx_file(tmp_path / "m.onnx", "g (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }"))
    with pytest.raises(SourceError, match=r"cannot be read as Parquet or \.npz"):
        given_cases(str(tmp_path / "samples.npz"), source, 8)
    assert not mark.exists()


@pytest.mark.parametrize("path", ["a.npy", "a.npz"])
def test_rows_that_are_pickled_objects_are_not_read(tmp_path: Path, mark: Path, path: str) -> None:
    content = npy(None, mark)
    storage = open_storage(str(tmp_path / "in"))
    for held in (content if path == "a.npy" else npz("x.npy", content), pickle.dumps(Runs(mark))):
        storage.write(path, held)
        with pytest.raises(InputError):
            survey_of(format_of(path), storage, path)
    assert not mark.exists()


def test_an_archive_of_arrays_is_not_unpacked(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path / "deep" / "in"))
    storage.write("a.npz", npz("../../made.npy", npy(np.arange(4))))
    source: Format = format_of("a.npz")
    table = own_columns(read_whole(source, storage, "a.npz"))
    assert table.to_pydict() == {"../../made": [0, 1, 2, 3]}
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["a.npz", "deep", "in"]


def test_the_members_of_a_shard_are_rows_and_never_files(tmp_path: Path) -> None:
    """Names are texts, and what is a link, a device or a folder is no row."""
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as shard:
        for name in ("../../made.jpg", "/made.jpg", "a/../../made.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 4
            shard.addfile(info, io.BytesIO(b"evil"))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo("link.jpg")
            info.type, info.linkname = kind, str(tmp_path / "secret.jpg")
            shard.addfile(info)
    storage = open_storage(str(tmp_path / "deep" / "in"))
    storage.write("s.tar", kept.getvalue())
    rows = own_columns(read_whole(Tar(), storage, "s.tar")).to_pylist()
    assert [(row["path"], row["image"]) for row in rows] == [
        ("s.tar/../../made.jpg", b"evil"),
        ("s.tar//made.jpg", b"evil"),
        ("s.tar/a/../../made.jpg", b"evil"),
    ]
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["deep", "in", "s.tar", "secret.jpg"]


def pickled_type(mark: Path) -> pa.Schema:
    """A column whose type is a pickle: how Arrow once kept types that were made in Python."""
    named = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Runs(mark)),
    }
    return pa.schema([pa.field("x", pa.int64(), metadata=named)])


def test_a_type_that_is_a_pickle_is_not_made(tmp_path: Path, mark: Path) -> None:
    schema = pickled_type(mark)
    storage = open_storage(str(tmp_path / "in"))
    kept = pa.BufferOutputStream()
    pq.write_table(pa.table([pa.array([1, 2])], schema=schema), kept)
    storage.write("a.parquet", kept.getvalue())
    assert own_columns(read_whole(format_of("a.parquet"), storage, "a.parquet"))["x"].to_pylist() == [1, 2]

    facts = {b"rayton.schema": schema.serialize().to_pybytes(), b"rayton.folder": b"/in", b"rayton.bytes": b"0"}
    columns = {"chunk": [0], "path": ["a"], "stamp": ["s"]}
    numbers = {name: [1] for name in ("rows", "first_row", "first_byte", "end_byte")}
    kept = pa.BufferOutputStream()
    pq.write_table(pa.table({**columns, **numbers}).replace_schema_metadata(facts), kept)
    storage.write("_plan.parquet", kept.getvalue())
    plan = read_plan(storage)
    assert plan is not None
    assert plan.schema.field("x").type == pa.int64()
    assert not mark.exists()
