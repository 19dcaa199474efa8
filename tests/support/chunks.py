"""Tables as they travel through a job: a chunk's rows and the columns that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ray_pipeline.chunk import Chunk
from ray_pipeline.sources.base import numbered


def chunk_of_rows(rows: int, first_row: int = 0, path: str = "a.parquet") -> Chunk:
    """A chunk of an object that is nowhere."""
    return Chunk(path, "stamp", first_row, rows)


def read_table(columns: dict[str, Any], first_row: int = 0, reasons: Sequence[str | None] | None = None) -> pa.Table:
    """A chunk as a source gives it; `reasons` are those of the rows that it could not read."""
    table = pa.table(columns)
    return numbered(table, chunk_of_rows(table.num_rows, first_row), list(reasons or [None] * table.num_rows))
