"""What an input format can do: say what an object holds, and read some of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from ray_pipeline.chunk import Piece
from ray_pipeline.rejection import Rejections
from triton_models.storage import ObjectInfo, Storage


@dataclass(frozen=True)
class Survey:
    """What planning found in one object: the columns that are there, and its rows in pieces.

    `untyped` says that the object holds nothing but texts, so that every column can be read as text, too.
    """

    schema: pa.Schema
    pieces: tuple[Piece, ...]
    untyped: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows as they were read; one that could not be is there too, with nulls and its rejection."""

    table: pa.Table
    rejections: Rejections

    @classmethod
    def good(cls, table: pa.Table) -> Rows:
        """Rows without a bad one among them."""
        return cls(table, [None] * table.num_rows)


class Format(Protocol):
    """One input format. `suffixes` is how the names of its objects end, in small letters."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How names end."""
        ...

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Counts the rows of an object, in pieces of `rows_per_chunk`. Raises InputError if it cannot be read."""
        ...

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """The rows of a piece: the columns of `schema`, in its order and types.

        Raises InputError if it cannot be read or does not hold the rows that were there at planning.
        """
        ...


def row_ranges(rows: int, rows_per_chunk: int) -> Iterator[tuple[int, int]]:
    """First row and count of each piece of an object."""
    for first in range(0, rows, rows_per_chunk):
        yield first, min(rows_per_chunk, rows - first)
