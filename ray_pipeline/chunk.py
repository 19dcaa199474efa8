"""The unit of work, of retry and of commit: a row range of one input object."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import pyarrow as pa

from ray_pipeline.errors import OutputError

INTERNAL = "__rayton_"
"""How the columns begin that travel with the rows and never reach the output."""

CHUNK = f"{INTERNAL}chunk"
"""The chunk itself as JSON, in its first row only: a table that was split or merged on its way shows it."""

ROW = f"{INTERNAL}row"
"""The number of the row in its object, from 0."""

STAGE = f"{INTERNAL}stage"
"""Where a row was rejected: read, prepare or score; null while it is good."""

REASON = f"{INTERNAL}reason"
"""Why a row was rejected; null while it is good."""


@dataclass(frozen=True)
class Chunk:
    """Rows `first_row` to `first_row + rows - 1` of one object.

    `stamp` is the object's stamp at planning. `first_byte` and `end_byte` bound the rows in a format that is read by
    position (JSON Lines); both are 0 where the format finds rows by itself (Parquet).
    """

    path: str
    stamp: str
    first_row: int
    rows: int
    first_byte: int = 0
    end_byte: int = 0

    @property
    def id(self) -> str:
        """A hash of what the chunk holds; the same rows of the same object have the same id in every run."""
        held = "\n".join((self.path, self.stamp, str(self.first_row), str(self.rows)))
        return hashlib.sha256(held.encode()).hexdigest()[:32]

    @property
    def part(self) -> str:
        """The name of the part that this chunk becomes, under `data/` and `rejected/`."""
        return f"part-{self.id}.parquet"

    def mark(self) -> pa.Array:
        """The CHUNK column for a table that holds this chunk."""
        return pa.array([json.dumps(asdict(self)), *[None] * (self.rows - 1)], pa.string())

    def __str__(self) -> str:
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"


def chunk_of(table: pa.Table) -> Chunk:
    """The chunk that a table holds. Raises OutputError if the rows are not exactly those of one chunk."""
    marks = [(row, mark) for row, mark in enumerate(table[CHUNK].to_pylist()) if mark is not None]
    if len(marks) != 1 or marks[0][0] != 0:
        raise OutputError(f"a table of {table.num_rows} rows has the marks of {len(marks)} chunks; not committed")
    chunk = Chunk(**json.loads(marks[0][1]))
    expected = pa.array(range(chunk.first_row, chunk.first_row + chunk.rows), pa.int64())
    if not table[ROW].combine_chunks().equals(expected):
        raise OutputError(f"{chunk}: the {table.num_rows} rows that arrived are not those of the chunk; not committed")
    return chunk
