"""What there is to score: the input listed once, cut into chunks, and kept beside the output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import groupby
from operator import itemgetter

import pyarrow as pa
import pyarrow.parquet as pq

from ray_pipeline.chunk import INTERNAL, Chunk, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Survey
from ray_pipeline.sources.listing import list_input, only_format, stranger
from ray_pipeline.sources.partitions import key_schema, keys_of
from ray_pipeline.spec import JobSpec
from triton_models.inside import is_inside
from triton_models.storage import ObjectInfo, Storage

BYTES_PER_GROUP = 128 * 2**20
"""How large small objects may be that are put together in a chunk."""
_OBJECTS_AT_ONCE = 16
_CHUNK = "chunk"
_FOLDER = b"rayton.folder"
_SCHEMA = b"rayton.schema"
_BYTES = b"rayton.bytes"


@dataclass(frozen=True)
class Plan:
    """All chunks of a job.

    `folder` is the URI that their paths are relative to, `schema` the columns that are read, `size_bytes` that of the
    objects that hold them.
    """

    folder: str
    schema: pa.Schema
    chunks: tuple[Chunk, ...]
    size_bytes: int = 0

    @property
    def rows(self) -> int:
        """Rows of the whole input."""
        return sum(chunk.rows for chunk in self.chunks)

    def to_bytes(self) -> bytes:
        """The plan as it is written beside the output: Parquet, a row for each piece of a chunk."""
        pieces = [(number, piece) for number, chunk in enumerate(self.chunks) for piece in chunk.pieces]
        columns = {one.name: [getattr(piece, one.name) for _, piece in pieces] for one in fields(Piece)}
        numbers = {_CHUNK: [number for number, _ in pieces]}
        metadata = {
            _FOLDER: self.folder.encode(),
            _SCHEMA: self.schema.serialize().to_pybytes(),
            _BYTES: str(self.size_bytes).encode(),
        }
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({**numbers, **columns}).replace_schema_metadata(metadata), sink, compression="zstd")
        content: bytes = sink.getvalue().to_pybytes()
        return content

    @classmethod
    def from_bytes(cls, content: bytes) -> Plan:
        """Reads what `to_bytes` wrote. Raises ValueError for anything else."""
        try:
            table = pq.read_table(pa.BufferReader(content))
            metadata = table.schema.metadata or {}
            schema = pa.ipc.read_schema(pa.py_buffer(metadata[_SCHEMA]))
            table = table.select(_COLUMNS.names).cast(_COLUMNS)
            columns = [column.to_pylist() for column in table.columns]
            folder, size = metadata[_FOLDER].decode(), int(metadata[_BYTES])
        except KeyError as error:
            raise ValueError(f"it has no {error}") from error
        except (pa.ArrowException, OSError) as error:
            raise ValueError(str(error)) from error
        pieces = [Piece(*values) for values in zip(*columns[1:], strict=True)]
        if wrong := next((piece for piece in pieces if not _makes_sense(piece)), None):
            raise ValueError(f"it has the piece {wrong!r}")
        grouped = groupby(zip(columns[0], pieces, strict=True), itemgetter(0))
        chunks = (Chunk(tuple(piece for _, piece in group)) for _, group in grouped)
        return cls(folder, schema, tuple(chunks), size)


_TYPES = {"str": pa.string(), "int": pa.int64()}
_COLUMNS = pa.schema(
    [pa.field(_CHUNK, pa.int64(), nullable=False)]
    + [pa.field(one.name, _TYPES[str(one.type)], nullable=False) for one in fields(Piece)]
)


def _makes_sense(piece: Piece) -> bool:
    return is_inside(piece.path) and piece.rows > 0 and min(piece.first_row, piece.first_byte, piece.end_byte) >= 0


def make_plan(spec: JobSpec) -> Plan:
    """Lists the input and cuts it into chunks. Raises InputError for an empty input or a column that is not there."""
    storage, objects = list_input(spec.input.uri, spec.storage.endpoint_url, spec.storage.timeout_s)
    plan = plan_of(spec, storage, objects)
    if not plan.chunks:
        raise InputError(f"input.uri {spec.input.uri}: its {len(objects)} objects hold no rows")
    return plan


def check_named(plan: Plan, uri: str) -> None:
    """Raises InputError for a plan with an object that an input URI does not name: others may have written it."""
    paths = (piece.path for chunk in plan.chunks for piece in chunk.pieces)
    if (path := stranger(uri, plan.folder, paths)) is not None:
        raise InputError(
            f"input.uri {uri} does not name {path!r} in {plan.folder}, which the plan beside the output has; look who "
            "wrote it, and use a new output"
        )


def plan_of(spec: JobSpec, storage: Storage, objects: Sequence[ObjectInfo], earlier: Plan | None = None) -> Plan:
    """The plan of these objects alone; its types are those in which the objects of `earlier` can be read too.

    Raises InputError.
    """
    source = only_format(objects)

    def survey_of(found: ObjectInfo) -> Survey:
        return storage.healed(lambda: source.survey(storage, found, spec.input.rows_per_chunk), found.path)

    with ThreadPoolExecutor(_OBJECTS_AT_ONCE) as pool:
        surveys = list(pool.map(survey_of, objects))
    planned = [piece.path for chunk in earlier.chunks for piece in chunk.pieces] if earlier is not None else []
    keys = key_schema([*planned, *(found.path for found in objects)])
    wanted = _columns_of(spec)
    whole: dict[tuple[pa.Schema, tuple[str, ...]], pa.Schema] = {}
    for found, survey in zip(objects, surveys, strict=True):
        seen = survey.schema, tuple(keys_of(found.path))
        if survey.pieces and seen not in whole:
            whole[seen] = _with_keys(survey.schema, [keys.field(name) for name in seen[1]])
            _check_columns(f"{storage.uri}/{found.path}", whole[seen], wanted)
    sized = zip(objects, surveys, strict=True)
    chunks = grouped_chunks(((found.size, survey.pieces) for found, survey in sized), spec.input.rows_per_chunk)
    size = sum(found.size for found in objects)
    schemas = [*([earlier.schema] if earlier is not None else []), *whole.values()]
    untyped = all(survey.untyped for survey in surveys)
    return Plan(storage.uri, common_schema(schemas, wanted, untyped=untyped), tuple(chunks), size)


def grouped_chunks(
    objects: Iterable[tuple[int, tuple[Piece, ...]]], rows_per_chunk: int, bytes_per_group: int = BYTES_PER_GROUP
) -> Iterator[Chunk]:
    """The chunks of objects, each given as its size in bytes and its pieces, in their order.

    Each piece of an object that has several is a chunk; objects of a single piece go together while their rows and
    their bytes allow it, so that a folder of small files does not become a folder of small parts.
    """
    group: list[Piece] = []
    rows = held = 0
    for size, pieces in objects:
        if len(pieces) != 1:
            yield from (Chunk((piece,)) for piece in pieces)
            continue
        if group and (rows + pieces[0].rows > rows_per_chunk or held + size > bytes_per_group):
            yield Chunk(tuple(group))
            group, rows, held = [], 0, 0
        group.append(pieces[0])
        rows, held = rows + pieces[0].rows, held + size
    if group:
        yield Chunk(tuple(group))


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


def _with_keys(schema: pa.Schema, keys: Sequence[pa.Field]) -> pa.Schema:
    """The columns of an object and of the folders that it is in; where both have one, the folder is right."""
    names = {key.name for key in keys}
    own = [field for field in schema if field.name not in names]
    return pa.schema([*own, *keys])


def common_schema(schemas: Iterable[pa.Schema], wanted: Sequence[str], *, untyped: bool = False) -> pa.Schema:
    """The types in which all objects are read: the widest where they differ, such as int64 for int32 and int64.

    A column that is null wherever its type was looked for is read as text. So is one of `untyped` objects that is text
    in any of them. Raises InputError for types that do not go together.
    """
    found = [pa.schema([schema.field(name) for name in wanted]) for schema in schemas]
    if not found:
        return pa.schema([])
    if untyped:
        texts = {field.name for schema in found for field in schema if pa.types.is_string(field.type)}
        found = [
            pa.schema([field.with_type(pa.string()) if field.name in texts else field for field in schema])
            for schema in found
        ]
    try:
        schema = pa.unify_schemas([one.remove_metadata() for one in found], promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(f"a column has types in different objects that do not go together: {error}") from error
    return pa.schema([field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in schema])
