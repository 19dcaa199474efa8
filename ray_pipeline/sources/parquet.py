"""Parquet: rows are counted by the footer, and only the row groups and columns of a chunk are read."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ray_pipeline.chunk import Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Rows, Survey, row_ranges
from triton_models.storage import ObjectInfo, Storage

_FORMAT = ds.ParquetFileFormat()
_ROWS_AT_ONCE = 8192


class Parquet:
    """Objects that end in `.parquet`."""

    suffixes = (".parquet",)

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Reads the footer, in one request: its place follows from the size of the object, which the listing told."""
        try:
            whole = _FORMAT.make_fragment(f"{storage.root}/{found.path}", storage.filesystem, file_size=found.size)
            schema, rows = whole.physical_schema, whole.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{storage.uri}/{found.path} cannot be read as Parquet: {error}") from error
        pieces = (Piece(found.path, found.stamp, count, first) for first, count in row_ranges(rows, rows_per_chunk))
        return Survey(schema, tuple(pieces))

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """Reads the row groups that hold the piece, a slice at a time, and keeps its rows."""
        try:
            with storage.open(piece.path) as file, pq.ParquetFile(file, pre_buffer=True) as parquet:
                table = pa.Table.from_batches(_slices(parquet, piece, schema.names), _projected(parquet, schema.names))
            table = table.select(schema.names).cast(schema)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{storage.uri}/{piece.path} cannot be read: {error}") from error
        return Rows.good(table)


def _projected(parquet: pq.ParquetFile, names: list[str]) -> pa.Schema:
    return pa.schema([parquet.schema_arrow.field(name) for name in names])


def _slices(parquet: pq.ParquetFile, piece: Piece, names: list[str]) -> Iterator[pa.RecordBatch]:
    groups, first_of_groups = _row_groups(parquet, piece)
    position, end = first_of_groups, piece.first_row + piece.rows
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=names):
        start, stop = max(piece.first_row - position, 0), min(end - position, batch.num_rows)
        if start < stop:
            # A name with a dot also brings the member of that name of a nested column along.
            yield batch.select(names).slice(start, stop - start)
        position += batch.num_rows
        if position >= end:
            return


def _row_groups(parquet: pq.ParquetFile, piece: Piece) -> tuple[list[int], int]:
    """The row groups that hold rows of the piece, and the number of the first row in them."""
    groups: list[int] = []
    first_of_groups = position = 0
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if position < piece.first_row + piece.rows and position + rows > piece.first_row:
            if not groups:
                first_of_groups = position
            groups.append(group)
        position += rows
    return groups, first_of_groups
