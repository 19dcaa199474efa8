"""Inputs that the user gives: rows of a Parquet or `.npz` file become cases for the proofs, and calibration data."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exporter.arrays import Array, Tensors
from exporter.errors import SourceError
from exporter.signature import fits
from exporter.sources.base import Case, Source
from triton_models.card import TextPreparation
from triton_models.tensors import TensorSpec

MOST_ROWS = 1024
ROWS_PER_CASE = 32
Columns = dict[str, list[Any]]


def given_cases(file: str, source: Source, max_batch_size: int, option: str = "--samples") -> list[Case]:
    """The first rows of a file, `MOST_ROWS` at most, as requests of up to 32 rows that are of one shape.

    The file has one column (or array, rows first) for each input of the model, or for a model that reads texts the
    column `text` (and `text_pair`). Raises SourceError for a file that does not fit the model.
    """
    columns = _read(Path(file).expanduser(), option)
    rows_per_case = min(ROWS_PER_CASE, max_batch_size)
    label = Path(file).name
    if source.texts is not None and not all(spec.name in columns for spec in source.inputs):
        return [Case(label, inputs) for inputs in _texts(columns, source, rows_per_case, option)]
    missing = [spec.name for spec in source.inputs if spec.name not in columns]
    if missing:
        raise SourceError(f"{option} {file} has no column {missing[0]!r}; it has {', '.join(columns)}")
    rows = {spec.name: [_row(spec, value, option) for value in columns[spec.name]] for spec in source.inputs}
    return [Case(label, inputs) for inputs in _batches(rows, rows_per_case)]


def _read(path: Path, option: str) -> Columns:
    try:
        if path.suffix == ".npz":
            columns = _arrays(path)
        else:
            with pq.ParquetFile(path) as file:
                table = pa.Table.from_batches(_first(file), schema=file.schema_arrow)
            columns = {name: table[name].to_pylist() for name in table.column_names}
    except (OSError, ValueError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise SourceError(f"{option} {path} cannot be read as Parquet or .npz: {error}") from error
    counts = {name: len(values) for name, values in columns.items()}
    if not counts or min(counts.values()) == 0:
        raise SourceError(f"{option} {path} holds no row")
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise SourceError(f"{option} {path}: the arrays differ in their number of rows: {told}")
    return columns


def _arrays(path: Path) -> Columns:
    with path.open("rb") as file:
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        return {name: list(arrays[name][:MOST_ROWS]) for name in arrays.files}


def _first(file: pq.ParquetFile) -> list[pa.RecordBatch]:
    found: list[pa.RecordBatch] = []
    for batch in file.iter_batches(batch_size=MOST_ROWS):
        found.append(batch.slice(0, MOST_ROWS - sum(one.num_rows for one in found)))
        if sum(one.num_rows for one in found) == MOST_ROWS:
            break
    return found


def _texts(columns: Columns, source: Source, rows_per_case: int, option: str) -> list[Tensors]:
    """Texts of like lengths side by side, so that little of a request is padding."""
    assert source.texts is not None
    preparation = source.preparation
    pair = isinstance(preparation, TextPreparation) and preparation.pair
    wanted = ("text", "text_pair") if pair else ("text",)
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise SourceError(f"{option} has no column {missing[0]!r}, which holds the texts; it has {', '.join(columns)}")
    rows = sorted(zip(*(columns[name] for name in wanted), strict=True), key=lambda row: sum(map(len, map(str, row))))
    if not all(isinstance(text, str) for row in rows for text in row):
        raise SourceError(f"{option}: column {' or '.join(wanted)} holds what is no text; leave those rows out")
    found: list[Tensors] = []
    for start in range(0, len(rows), rows_per_case):
        texts = list(zip(*rows[start : start + rows_per_case], strict=True))
        found.append(source.texts.of_texts(list(texts[0]), list(texts[1]) if pair else None))
    return found


def _row(spec: TensorSpec, value: Any, option: str) -> Array:
    """One row of an input. A fixed shape may come flat, as Parquet lists do."""
    try:
        array: Array = np.asarray(value, spec.numpy)
        if spec.is_fixed and array.size == int(np.prod(spec.shape)):
            array = array.reshape(spec.shape)
    except (TypeError, ValueError) as error:
        raise SourceError(f"{option}: column {spec.name!r} does not hold rows of {spec}: {error}") from error
    if not fits(spec, array[np.newaxis]):
        raise SourceError(f"{option}: column {spec.name!r} has a row of shape {list(array.shape)}, which is no {spec}")
    return array


def _batches(rows: dict[str, list[Array]], rows_per_case: int) -> list[Tensors]:
    """Rows of equal shapes in one request."""
    alike: dict[Sequence[tuple[int, ...]], list[int]] = defaultdict(list)
    for row in range(len(next(iter(rows.values())))):
        alike[tuple(values[row].shape for values in rows.values())].append(row)
    return [
        {
            name: np.stack([values[row] for row in chosen[start : start + rows_per_case]])
            for name, values in rows.items()
        }
        for chosen in alike.values()
        for start in range(0, len(chosen), rows_per_case)
    ]
