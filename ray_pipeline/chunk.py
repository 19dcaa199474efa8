"""The unit of work, of retry and of commit: a row range of one object, or a group of small objects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from ray_pipeline.errors import OutputError

INTERNAL = "__rayton_"
"""How the columns begin that travel with the rows and never reach the output."""

CHUNK = f"{INTERNAL}chunk"
"""The chunk itself as JSON, and which of its rows the table holds, in the first row only: a table that was split or
merged on its way shows it."""

PART = f"{INTERNAL}part"
"""The data part of a chunk of which only the rejected rows are scored again, in the first row of these; else null."""

COURSE = f"{INTERNAL}course"
"""How the chunk has gone so far, as JSON, in the first row; see `telemetry/course.py`."""

ROW = f"{INTERNAL}row"
"""The number of the row in its chunk, from 0."""

STAGE = f"{INTERNAL}stage"
"""Where a row was rejected: read, prepare or score; null while it is good."""

ERROR = f"{INTERNAL}error"
"""The kind of error that a row was rejected for; null while it is good."""

REASON = f"{INTERNAL}reason"
"""Why a row was rejected, for people; null while it is good."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `first_row` to `first_row + rows - 1` of one object.

    `stamp` is the object's stamp at planning. `first_byte` and `end_byte` bound the rows in a format that is read by
    position, such as JSON Lines; of a compressed object they count the bytes that were compressed. Both are 0 where the
    format finds rows by itself.
    """

    path: str
    stamp: str
    rows: int
    first_row: int = 0
    first_byte: int = 0
    end_byte: int = 0

    def __str__(self) -> str:
        return f"{self.path} rows {self.first_row}-{self.first_row + self.rows - 1}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """The rows of one piece of a large object, or of several small objects that are whole."""

    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def id(self) -> str:
        """A hash of what the chunk holds; the same rows of the same objects have the same id in every run."""
        held = (f"{piece.path}\n{piece.stamp}\n{piece.first_row}\n{piece.rows}" for piece in self.pieces)
        return hashlib.sha256("\n".join(held).encode()).hexdigest()[:32]

    @property
    def part(self) -> str:
        """The name, without its ending, of the part that this chunk becomes, under `data/` and `rejected/`."""
        return f"part-{self.id}"

    def mark(self, rows: Sequence[int] | None = None) -> pa.Array:
        """The CHUNK column for a table that holds this chunk, or only these rows of it."""
        mark = json.dumps({"pieces": [asdict(piece) for piece in self.pieces], "rows": rows})
        others = (self.rows if rows is None else len(rows)) - 1
        return pa.array([mark, *[None] * others], pa.string())

    def origins(self, rows: Iterable[int]) -> list[tuple[str, int]]:
        """The object, and the number of the row in it, of each of these rows of the chunk."""
        ends = np.cumsum([piece.rows for piece in self.pieces])
        found = []
        for row in rows:
            place = int(np.searchsorted(ends, row, side="right"))
            piece = self.pieces[place]
            found.append((piece.path, piece.first_row + row - int(ends[place]) + piece.rows))
        return found

    def __str__(self) -> str:
        first, *others = self.pieces
        return f"{first.path} and {len(others)} more objects, {self.rows} rows" if others else str(first)


def chunk_of(table: pa.Table) -> Chunk:
    """The chunk that a table belongs to. Raises OutputError if its rows are not exactly those that were read of it."""
    marks = [(row, mark) for row, mark in enumerate(table[CHUNK].to_pylist()) if mark is not None]
    if len(marks) != 1 or marks[0][0] != 0:
        raise OutputError(f"a table of {table.num_rows} rows has the marks of {len(marks)} chunks; not committed")
    mark = json.loads(marks[0][1])
    chunk = Chunk(tuple(Piece(**piece) for piece in mark["pieces"]))
    read = range(chunk.rows) if mark["rows"] is None else mark["rows"]
    if not table[ROW].combine_chunks().equals(pa.array(read, pa.int64())):
        raise OutputError(f"{chunk}: the {table.num_rows} rows that arrived are not those of the chunk; not committed")
    return chunk
