"""Tables as they travel through a job: a chunk's rows and the columns that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ray_pipeline.chunk import CHUNK, PART, ROW, Chunk, Piece
from ray_pipeline.rejection import Rejection, rejection_columns, staged


def chunk_of_rows(rows: int, first_row: int = 0, path: str = "a.parquet") -> Chunk:
    """A chunk of an object that is nowhere."""
    return Chunk((Piece(path, "stamp", rows, first_row),))


def read_table(
    columns: dict[str, Any],
    first_row: int = 0,
    reasons: Sequence[str | None] | None = None,
    path: str = "a.parquet",
) -> pa.Table:
    """A chunk as it is read; `reasons` are those of the rows that could not be."""
    rows = len(next(iter(columns.values())))
    rejections = [None if reason is None else Rejection("NotJson", reason) for reason in reasons or [None] * rows]
    travelling = {
        CHUNK: chunk_of_rows(rows, first_row, path).mark(),
        PART: pa.nulls(rows, pa.large_binary()),
        ROW: pa.array(range(rows), pa.int64()),
        **rejection_columns(rejections, staged(rejections, [None] * rows, "read")),
    }
    return pa.table({**columns, **travelling})
