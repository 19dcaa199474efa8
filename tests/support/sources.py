"""Reading a whole object through a source, as a job does: chunk by chunk."""

from __future__ import annotations

import pyarrow as pa

from ray_pipeline.chunk import INTERNAL, Chunk, Piece, chunk_of
from ray_pipeline.sources.base import Format, Survey
from ray_pipeline.sources.chunks import read_chunk
from triton_models.storage import ObjectInfo, Storage


def object_at(storage: Storage, path: str) -> ObjectInfo:
    """An object that must be there."""
    found = storage.stat(path)
    assert found is not None
    return found


def survey_of(source: Format, storage: Storage, path: str, rows_per_chunk: int = 100) -> Survey:
    """What planning finds in an object."""
    return source.survey(storage, object_at(storage, path), rows_per_chunk)


def read_pieces(storage: Storage, pieces: tuple[Piece, ...], schema: pa.Schema) -> pa.Table:
    """The rows of a chunk of these pieces with the columns that travel; the table must be exactly its chunk."""
    table = read_chunk(storage, Chunk(pieces), schema)
    assert chunk_of(table) == Chunk(pieces)
    return table


def read_whole(source: Format, storage: Storage, path: str, rows_per_chunk: int = 100) -> pa.Table:
    """All rows of an object with the columns that travel, each piece of it as a chunk."""
    survey = survey_of(source, storage, path, rows_per_chunk)
    return pa.concat_tables([read_pieces(storage, (piece,), survey.schema) for piece in survey.pieces])


def own_columns(table: pa.Table) -> pa.Table:
    """The columns of the object alone."""
    return table.select([name for name in table.column_names if not name.startswith(INTERNAL)])
