"""JSON Lines: one pass counts the lines and notes where each chunk begins; a chunk is then read by position."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import pyarrow as pa

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import InputError
from ray_pipeline.sources.base import Survey, numbered
from triton_models.storage import ObjectInfo, Storage

_LINES_FOR_TYPES = 1000
_BUFFER_BYTES = 4 << 20


class JsonLines:
    """Objects that end in `.jsonl`. Blank lines are no rows. Types are those of the first thousand rows."""

    suffix = ".jsonl"

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Reads the object once, from one end to the other."""
        chunks: list[Chunk] = []
        first_byte = position = rows = total = 0

        def close_chunk() -> None:
            chunks.append(Chunk(found.path, found.stamp, total - rows, rows, first_byte, position))

        with _opened(storage, found.path) as file, io.BufferedReader(file, _BUFFER_BYTES) as lines:
            for line in lines:
                position += len(line)
                if line.isspace():
                    continue
                rows, total = rows + 1, total + 1
                if rows == rows_per_chunk:
                    close_chunk()
                    first_byte, rows = position, 0
        if rows:
            close_chunk()
        return Survey(_inferred(storage, found), tuple(chunks))

    def read(self, storage: Storage, chunk: Chunk, schema: pa.Schema) -> pa.Table:
        """Reads the bytes of the chunk; a line that is no JSON object or does not fit the types is a rejected row."""
        with _opened(storage, chunk.path) as file:
            file.seek(chunk.first_byte)
            content: bytes = file.read(chunk.end_byte - chunk.first_byte)
        lines = [line for line in content.split(b"\n") if line and not line.isspace()]
        if len(lines) != chunk.rows:
            raise InputError(f"{storage.uri}/{chunk}: found {len(lines)} rows; the object changed after planning")
        reasons: list[str | None] = [None] * chunk.rows
        objects = [_parsed(line, row, reasons) for row, line in enumerate(lines)]
        columns = [_column([one.get(field.name) for one in objects], field, reasons) for field in schema]
        return numbered(pa.Table.from_arrays(columns, schema=schema), chunk, reasons)


@contextmanager
def _opened(storage: Storage, path: str) -> Iterator[pa.NativeFile]:
    try:
        with storage.open(path) as file:
            yield file
    except OSError as error:
        raise InputError(f"{storage.uri}/{path} cannot be read: {error}") from error


def _inferred(storage: Storage, found: ObjectInfo) -> pa.Schema:
    """The types of the first rows; lines that are no JSON objects say nothing."""
    ignored: list[str | None] = [None] * _LINES_FOR_TYPES
    with _opened(storage, found.path) as file, io.BufferedReader(file, _BUFFER_BYTES) as lines:
        rows = [_parsed(line, row, ignored) for row, line in enumerate(islice(lines, _LINES_FOR_TYPES))]
    names = dict.fromkeys(name for row in rows for name in row)
    try:
        return pa.schema([(name, _type_of([row.get(name) for row in rows])) for name in names])
    except UnicodeEncodeError as error:
        raise InputError(f"{storage.uri}/{found.path}: the name of a column is not valid Unicode: {error}") from error


def _type_of(values: list[Any]) -> pa.DataType:
    """The type that most of the values have together; strings where they have none."""
    try:
        return pa.infer_type(values)
    except pa.ArrowException:
        return pa.string()


def _parsed(line: bytes, row: int, reasons: list[str | None]) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        reasons[row] = f"not JSON: {error}"
        return {}
    except RecursionError:
        reasons[row] = "not JSON: nested too deeply"
        return {}
    if not isinstance(value, dict):
        reasons[row] = f"not a JSON object but {type(value).__name__}"
        return {}
    return value


def _column(values: list[Any], field: pa.Field, reasons: list[str | None]) -> pa.Array:
    try:
        array = pa.array(values, field.type)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        array = None
    if array is None or (_may_lose(field.type) and any(_loses(value, field.type) for value in values)):
        array = pa.array([_checked(value, row, field, reasons) for row, value in enumerate(values)], field.type)
    return array


def _checked(value: Any, row: int, field: pa.Field, reasons: list[str | None]) -> Any:
    try:
        pa.scalar(value, field.type)
        fits = not _loses(value, field.type)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        fits = False
    if fits:
        return value
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    reasons[row] = reasons[row] or f"column {field.name!r}: {shown} is not {field.type}"
    return None


def _may_lose(kind: pa.DataType) -> bool:
    """Whether Arrow may take a value of a column without a word although a part of it does not fit."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_struct(kind) or (_is_list(kind) and _may_lose(kind.value_type))
    )


def _loses(value: Any, kind: pa.DataType) -> bool:
    """Whether Arrow would cut something off a value: the fraction of a float, a member that the type does not have."""
    if pa.types.is_integer(kind):
        return isinstance(value, float) and not value.is_integer()
    if isinstance(value, list) and _is_list(kind):
        return any(_loses(one, kind.value_type) for one in value)
    if isinstance(value, dict) and pa.types.is_struct(kind):
        types = {field.name: field.type for field in kind}
        return any(name not in types or _loses(one, types[name]) for name, one in value.items())
    return False


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
