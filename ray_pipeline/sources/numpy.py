"""NumPy: an array, or several side by side, whose first axis is the row."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from ray_pipeline.chunk import Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Rows, Survey, row_ranges
from triton_models.storage import ObjectInfo, Storage

ONLY = "array"
"""The column of an `.npy`, which has no name for it."""


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def kind(self) -> pa.DataType:
        """A row in Arrow: a number, or its numbers in one flat list."""
        number = pa.from_numpy_dtype(self.dtype.newbyteorder("="))
        return pa.list_(number, math.prod(self.shape[1:])) if len(self.shape) > 1 else number


class Numpy:
    """Objects that end in `.npy` (column `array`) or `.npz` (a column for each array), numbers in C order."""

    suffixes = (".npy", ".npz")

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Reads the headers of the arrays."""
        where = f"{storage.uri}/{found.path}"
        with _arrays(storage, found.path) as arrays:
            headers = {name: _header(file, f"{where}: array {name!r}") for name, file in arrays.items()}
        counts = {name: header.shape[0] for name, header in headers.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise InputError(f"{where}: its arrays differ in their number of rows: {told}")
        rows = next(iter(counts.values()), 0)
        pieces = (Piece(found.path, found.stamp, count, first) for first, count in row_ranges(rows, rows_per_chunk))
        return Survey(pa.schema([(name, header.kind) for name, header in headers.items()]), tuple(pieces))

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """Reads the rows of the piece, of the arrays that are asked for."""
        with _arrays(storage, piece.path) as arrays:
            missing = [name for name in schema.names if name not in arrays]
            if missing:
                raise InputError(f"{storage.uri}/{piece.path} has no array {missing[0]!r}; it changed after planning")
            where = f"{storage.uri}/{piece.path}"
            columns = [_rows(arrays[name], piece, f"{where}: array {name!r}") for name in schema.names]
        return Rows.good(pa.table(columns, schema.names).cast(schema))


@contextmanager
def _arrays(storage: Storage, path: str) -> Iterator[dict[str, IO[bytes]]]:
    """The arrays of an object, each a file at its header. Raises InputError, also while they are read."""
    try:
        with ExitStack() as files:
            file: Any = files.enter_context(storage.open(path))
            if path.lower().endswith(".npy"):
                yield {ONLY: file}
            else:
                archive = files.enter_context(zipfile.ZipFile(file))
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                yield {name.removesuffix(".npy"): files.enter_context(archive.open(name)) for name in names}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{storage.uri}/{path} cannot be read as NumPy: {error}") from error


def _header(file: IO[bytes], where: str) -> _Header:
    """Reads to the end of the header. Raises InputError for an array that holds no rows of numbers in C order."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    is_number = dtype.kind in "biuf" and dtype.itemsize <= 8
    if not is_number or not shape or 0 in shape[1:] or (is_fortran and len(shape) > 1):
        order = " in Fortran order" if is_fortran else ""
        raise InputError(f"{where} is {dtype} {list(shape)}{order}; rows of numbers in C order are wanted")
    return _Header(shape, dtype)


def _rows(file: IO[bytes], piece: Piece, where: str) -> pa.Array:
    header = _header(file, where)
    size = math.prod(header.shape[1:]) * header.dtype.itemsize
    file.seek(piece.first_row * size, io.SEEK_CUR)
    content = file.read(piece.rows * size)
    if len(content) != piece.rows * size:
        raise InputError(f"{where} ends within {piece}; is it cut? Or the object changed after planning")
    flat = np.frombuffer(content, header.dtype).astype(header.dtype.newbyteorder("="), copy=False)
    if len(header.shape) == 1:
        return pa.array(flat)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), math.prod(header.shape[1:]))
