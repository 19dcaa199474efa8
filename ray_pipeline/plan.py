"""What there is to score: the input listed once, cut into chunks, and kept beside the output."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import pyarrow as pa
import pyarrow.parquet as pq

from ray_pipeline.chunk import INTERNAL, Chunk
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Survey
from ray_pipeline.sources.listing import list_input, only_format
from ray_pipeline.spec import JobSpec

_OBJECTS_AT_ONCE = 16
_FOLDER = b"rayton.folder"
_SCHEMA = b"rayton.schema"


@dataclass(frozen=True)
class Plan:
    """All chunks of a job. `folder` is the URI that their paths are relative to, `schema` the columns that are read."""

    folder: str
    schema: pa.Schema
    chunks: tuple[Chunk, ...]

    @property
    def rows(self) -> int:
        """Rows of the whole input."""
        return sum(chunk.rows for chunk in self.chunks)

    def to_bytes(self) -> bytes:
        """The plan as it is written beside the output: Parquet, a row for each chunk."""
        columns = {one.name: [getattr(chunk, one.name) for chunk in self.chunks] for one in fields(Chunk)}
        metadata = {_FOLDER: self.folder.encode(), _SCHEMA: self.schema.serialize().to_pybytes()}
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns).replace_schema_metadata(metadata), sink)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    @classmethod
    def from_bytes(cls, content: bytes) -> Plan:
        """Reads what `to_bytes` wrote."""
        table = pq.read_table(pa.BufferReader(content))
        metadata = table.schema.metadata
        schema = pa.ipc.read_schema(pa.py_buffer(metadata[_SCHEMA]))
        return cls(metadata[_FOLDER].decode(), schema, tuple(Chunk(**row) for row in table.to_pylist()))


def make_plan(spec: JobSpec) -> Plan:
    """Lists the input and cuts it into chunks. Raises InputError for an empty input or a column that is not there."""
    endpoint_url = spec.storage.endpoint_url
    storage, objects = list_input(spec.input.uri, endpoint_url)
    source = only_format(objects)
    with ThreadPoolExecutor(_OBJECTS_AT_ONCE) as pool:
        surveys = list(pool.map(lambda found: source.survey(storage, found, spec.input.rows_per_chunk), objects))
    wanted = _columns_of(spec)
    for found, survey in zip(objects, surveys, strict=True):
        if survey.chunks:
            _check_columns(f"{storage.uri}/{found.path}", survey.schema, wanted)
    chunks = tuple(chunk for survey in surveys for chunk in survey.chunks)
    if not chunks:
        raise InputError(f"input.uri {spec.input.uri}: its {len(objects)} objects hold no rows")
    return Plan(storage.uri, _common_schema(surveys, wanted), chunks)


def _columns_of(spec: JobSpec) -> list[str]:
    """The columns that a job reads, each once: those it keeps, then those it scores."""
    scored = (column for model in spec.models for column in model.inputs.values())
    return list(dict.fromkeys((*spec.input.keep, *scored)))


def _check_columns(where: str, schema: pa.Schema, wanted: Iterable[str]) -> None:
    for column in wanted:
        if column not in schema.names:
            there = ", ".join(schema.names) or "none"
            raise InputError(f"{where} has no column {column!r}; its columns are {there}")
        if schema.names.count(column) > 1:
            raise InputError(f"{where} has several columns {column!r}; give them different names")
        if column.startswith(INTERNAL):
            raise InputError(f"{where}: a column called {column!r} cannot be used; names with {INTERNAL!r} are taken")


def _common_schema(surveys: list[Survey], wanted: list[str]) -> pa.Schema:
    """The types in which all objects are read: the widest where they differ, such as int64 for int32 and int64.

    A column that is null wherever its type was looked for is read as text.
    """
    found = [pa.schema([survey.schema.field(name) for name in wanted]) for survey in surveys if survey.chunks]
    try:
        schema = pa.unify_schemas([one.remove_metadata() for one in found], promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(f"a column has types in different objects that do not go together: {error}") from error
    return pa.schema([field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in schema])
