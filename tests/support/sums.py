"""Jobs whose right answers are known without a model: four numbers of each row are added up by a real server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq

from exporter.export import export
from exporter.spec import ExportSpec
from tests.support.jobs import scored_rows, write_job
from tests.support.served_models import affine
from triton_models.storage import open_storage

MODEL = 'name = "affine"\ninputs = { x = "x" }\noutputs = { total = "total" }'


def publish_affine(folder: Path, rounds: int = 0) -> Path:
    """A repository with version 1 of `affine`, which takes the longer the more rounds it has."""
    onnx.save(affine(rounds), folder / "affine.onnx")
    repository = folder / "models"
    export(ExportSpec(str(folder / "affine.onnx"), "affine", str(repository)), open_storage(str(repository)))
    return repository


def numbers(ids: Iterable[int]) -> pa.Table:
    """`id`, and `x` of which the sum is id + 6; the numbers are small enough for float32 to be exact."""
    ids = list(ids)
    x = [[float(one), 1.0, 2.0, 3.0] for one in ids]
    return pa.table({"id": pa.array(ids, pa.int64()), "x": pa.array(x, pa.list_(pa.float32(), 4))})


def write_numbers(path: Path, ids: Iterable[int]) -> None:
    """An object of such rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(numbers(ids), path)


def write_sums_job(
    folder: Path, rows: int, triton: dict[str, object], *, rows_per_chunk: int = 100, timeout_s: float = 10
) -> Path:
    """A job file: so many of these rows, which are made in `in`, are added up into `out`."""
    write_numbers(folder / "in" / "a.parquet", range(rows))
    return write_job(
        folder / "job.toml",
        input=folder / "in",
        output=folder / "out",
        triton=triton,
        model=MODEL,
        rows_per_chunk=rows_per_chunk,
        timeout_s=timeout_s,
    )


def check_sums(output: object, ids: Iterable[int]) -> None:
    """Every row is in the data parts once, with its right answer, and no other is."""
    scored = scored_rows(str(output))
    wanted = sorted(ids)
    assert scored["id"].to_pylist() == wanted
    assert scored["total"].to_pylist() == [[one + 6.0] for one in wanted]
