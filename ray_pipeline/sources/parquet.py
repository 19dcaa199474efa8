"""Parquet: rows are counted by the footer, and only the row groups and columns of a chunk are read."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Survey, numbered, row_ranges
from triton_models.storage import ObjectInfo, Storage

_ROWS_AT_ONCE = 8192


class Parquet:
    """Objects that end in `.parquet`."""

    suffix = ".parquet"

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Reads the footer."""
        try:
            with storage.open(found.path) as file, pq.ParquetFile(file) as parquet:
                schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{storage.uri}/{found.path} cannot be read as Parquet: {error}") from error
        chunks = (Chunk(found.path, found.stamp, first, count) for first, count in row_ranges(rows, rows_per_chunk))
        return Survey(schema, tuple(chunks))

    def read(self, storage: Storage, chunk: Chunk, schema: pa.Schema) -> pa.Table:
        """Reads the row groups that hold the chunk, a slice at a time, and keeps its rows."""
        try:
            with storage.open(chunk.path) as file, pq.ParquetFile(file, pre_buffer=True) as parquet:
                table = pa.Table.from_batches(_slices(parquet, chunk, schema.names), _projected(parquet, schema.names))
            table = table.select(schema.names).cast(schema)
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{storage.uri}/{chunk.path} cannot be read: {error}") from error
        if table.num_rows != chunk.rows:
            raise InputError(f"{storage.uri}/{chunk}: found {table.num_rows} rows; the object changed after planning")
        return numbered(table, chunk, [None] * chunk.rows)


def _projected(parquet: pq.ParquetFile, names: list[str]) -> pa.Schema:
    return pa.schema([parquet.schema_arrow.field(name) for name in names])


def _slices(parquet: pq.ParquetFile, chunk: Chunk, names: list[str]) -> Iterator[pa.RecordBatch]:
    groups, first_of_groups = _row_groups(parquet, chunk)
    position, end = first_of_groups, chunk.first_row + chunk.rows
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=groups, columns=names):
        start, stop = max(chunk.first_row - position, 0), min(end - position, batch.num_rows)
        if start < stop:
            # A name with a dot also brings the member of that name of a nested column along.
            yield batch.select(names).slice(start, stop - start)
        position += batch.num_rows
        if position >= end:
            return


def _row_groups(parquet: pq.ParquetFile, chunk: Chunk) -> tuple[list[int], int]:
    """The row groups that hold rows of the chunk, and the number of the first row in them."""
    groups: list[int] = []
    first_of_groups = position = 0
    for group in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        if position < chunk.first_row + chunk.rows and position + rows > chunk.first_row:
            if not groups:
                first_of_groups = position
            groups.append(group)
        position += rows
    return groups, first_of_groups
