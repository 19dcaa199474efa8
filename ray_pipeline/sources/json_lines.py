"""JSON Lines: one pass counts the lines and notes where each piece begins; a piece is then read by position."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pyarrow as pa

from ray_pipeline.chunk import Piece
from ray_pipeline.errors import InputError
from ray_pipeline.rejection import Rejection, Rejections
from ray_pipeline.sources.base import Rows, Survey
from ray_pipeline.sources.opened import opened, with_compressed
from ray_pipeline.sources.positions import Positions
from ray_pipeline.sources.typed import column_of
from triton_models.storage import ObjectInfo, Storage

ROWS_FOR_TYPES = 1000


class JsonLines:
    """Objects that end in `.jsonl`, also compressed. Blank lines are no rows.

    Types are those of the first thousand rows.
    """

    suffixes = with_compressed(".jsonl")

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Reads the object once, from one end to the other."""
        positions = Positions(found, rows_per_chunk)
        with opened(storage, found.path) as lines:
            for line in lines:
                positions.add(len(line), is_row=not line.isspace())
        return Survey(_inferred(storage, found), positions.pieces())

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """Reads the bytes of the piece; a line that is no JSON object or does not fit the types is a rejected row."""
        with opened(storage, piece.path, piece.first_byte) as file:
            content = file.read(piece.end_byte - piece.first_byte)
        lines = [line for line in content.split(b"\n") if line and not line.isspace()]
        rejections: Rejections = [None] * len(lines)
        objects = [_parsed(line, row, rejections) for row, line in enumerate(lines)]
        columns = [column_of([one.get(field.name) for one in objects], field, rejections) for field in schema]
        return Rows(pa.Table.from_arrays(columns, schema=schema), rejections)


def _inferred(storage: Storage, found: ObjectInfo) -> pa.Schema:
    """The types of the first rows; lines that are no JSON objects say nothing."""
    ignored: Rejections = [None] * ROWS_FOR_TYPES
    with opened(storage, found.path) as lines:
        rows = [_parsed(line, row, ignored) for row, line in enumerate(islice(lines, ROWS_FOR_TYPES))]
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


def _parsed(line: bytes, row: int, rejections: Rejections) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        rejections[row] = Rejection("NotJson", f"not JSON: {error}")
        return {}
    except RecursionError:
        rejections[row] = Rejection("NotJson", "not JSON: nested too deeply")
        return {}
    if not isinstance(value, dict):
        rejections[row] = Rejection("NotJson", f"not a JSON object but {type(value).__name__}")
        return {}
    return value
