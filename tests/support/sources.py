"""Reading a whole object through a source, as a job does: chunk by chunk."""

from __future__ import annotations

import pyarrow as pa

from ray_pipeline.chunk import INTERNAL, chunk_of
from ray_pipeline.sources.base import Format, Survey
from triton_models.storage import ObjectInfo, Storage


def object_at(storage: Storage, path: str) -> ObjectInfo:
    """An object that must be there."""
    found = storage.stat(path)
    assert found is not None
    return found


def survey_of(source: Format, storage: Storage, path: str, rows_per_chunk: int = 100) -> Survey:
    """What planning finds in an object."""
    return source.survey(storage, object_at(storage, path), rows_per_chunk)


def read_whole(source: Format, storage: Storage, path: str, rows_per_chunk: int = 100) -> pa.Table:
    """All rows of an object with the columns that travel; every table must be exactly its chunk."""
    survey = survey_of(source, storage, path, rows_per_chunk)
    tables = [source.read(storage, chunk, survey.schema) for chunk in survey.chunks]
    assert tuple(chunk_of(table) for table in tables) == survey.chunks
    return pa.concat_tables(tables)


def own_columns(table: pa.Table) -> pa.Table:
    """The columns of the object alone."""
    return table.select([name for name in table.column_names if not name.startswith(INTERNAL)])
