"""What an input format can do: say what an object holds, and read one chunk of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from ray_pipeline.chunk import CHUNK, REASON, ROW, STAGE, Chunk
from triton_models.storage import ObjectInfo, Storage


@dataclass(frozen=True)
class Survey:
    """What planning found in one object: the columns that are there, and its rows cut into chunks."""

    schema: pa.Schema
    chunks: tuple[Chunk, ...]


class Format(Protocol):
    """One input format. `suffix` is how the names of its objects end."""

    suffix: str

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Counts the rows of an object. Raises InputError if it cannot be read."""
        ...

    def read(self, storage: Storage, chunk: Chunk, schema: pa.Schema) -> pa.Table:
        """The rows of a chunk: the columns of `schema` in its types, and CHUNK, ROW, STAGE, REASON.

        A row that does not fit the schema is there too, with nulls and its reason. Raises InputError.
        """
        ...


def row_ranges(rows: int, rows_per_chunk: int) -> Iterator[tuple[int, int]]:
    """First row and count of each chunk of an object."""
    for first in range(0, rows, rows_per_chunk):
        yield first, min(rows_per_chunk, rows - first)


def numbered(table: pa.Table, chunk: Chunk, reasons: list[str | None]) -> pa.Table:
    """Adds the columns that travel with the rows; `reasons` holds None for each good row."""
    stages = ["read" if reason is not None else None for reason in reasons]
    return (
        table.append_column(CHUNK, chunk.mark())
        .append_column(ROW, pa.array(range(chunk.first_row, chunk.first_row + chunk.rows), pa.int64()))
        .append_column(STAGE, pa.array(stages, pa.string()))
        .append_column(REASON, pa.array(reasons, pa.string()))
    )
