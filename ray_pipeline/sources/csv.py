"""CSV with a header: one pass counts the records and notes where each piece begins; a piece is read by position."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from ray_pipeline.chunk import Piece
from ray_pipeline.errors import InputError
from ray_pipeline.rejection import Rejection, Rejections
from ray_pipeline.sources.base import Rows, Survey
from ray_pipeline.sources.opened import opened, plain_name, with_compressed
from ray_pipeline.sources.positions import Positions
from ray_pipeline.sources.typed import column_of, shown
from triton_models.storage import ObjectInfo, Storage

ROWS_FOR_TYPES = 1000
_WHOLE = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)
"""As people write a whole number: `007` is a text."""
_FLOAT = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_WHOLE_FLOAT = 2**53
"""A whole number beyond it is not said by a float."""
_BYTE_ORDER_MARK = "\ufeff"

Record = list[str]


class Csv:
    """Objects that end in `.csv`, or in `.tsv` with tabs, also compressed, in UTF-8, with the names in the first line.

    Fields are quoted as RFC 4180 says, and may hold line ends then; what is quoted otherwise is a rejected row. Blank
    lines are no rows. A column holds whole numbers or floats where the first thousand rows of all objects do, and texts
    elsewhere; whole numbers in one object and floats in another are floats. An empty field is null among numbers.
    """

    suffixes = (*with_compressed(".csv"), *with_compressed(".tsv"))

    def survey(self, storage: Storage, found: ObjectInfo, rows_per_chunk: int) -> Survey:
        """Reads the object once, from one end to the other."""
        with opened(storage, found.path) as file:
            records = _Records(file, found.path)
            header = _header(records, f"{storage.uri}/{found.path}")
            positions = Positions(found, rows_per_chunk, records.position)
            first: list[Record] = []
            at = records.position
            for record in records:
                positions.add(records.position - at, is_row=record != [])
                at = records.position
                if isinstance(record, list) and record and len(first) < ROWS_FOR_TYPES:
                    first.append(record)
        return Survey(_schema(header, first), positions.pieces(), untyped=True)

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """Reads the bytes of the piece; a record with too few or too many fields, or a wrong one, is rejected."""
        with opened(storage, piece.path) as file:
            header = _header(_Records(file, piece.path), f"{storage.uri}/{piece.path}")
        with opened(storage, piece.path, piece.first_byte) as file:
            lines = io.BytesIO(file.read(piece.end_byte - piece.first_byte))
        records = [record for record in _Records(lines, piece.path, piece.first_byte) if record != []]
        rejections: Rejections = [_misfit(record, header) for record in records]
        columns = []
        for field in schema:
            place = header.index(field.name)
            values = [
                _value(record[place], field.type) if isinstance(record, list) and rejection is None else None
                for record, rejection in zip(records, rejections, strict=True)
            ]
            columns.append(column_of(values, field, rejections))
        return Rows(pa.Table.from_arrays(columns, schema=schema), rejections)


class _Records:
    """The records of a file from `position` on, which moves on to the end of the last one that was given.

    One that is quoted wrongly is given as its rejection; the next begins with the next line.
    """

    def __init__(self, lines: Iterable[bytes], path: str, position: int = 0) -> None:
        self.position = position
        # Its limit is for all readers of a process; texts may be longer than its 128 KiB.
        csv.field_size_limit(sys.maxsize)
        delimiter = "\t" if plain_name(path).endswith(".tsv") else ","
        self._reader = csv.reader(self._counted(lines), delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[Record | Rejection]:
        return self

    def __next__(self) -> Record | Rejection:
        try:
            return next(self._reader)
        except csv.Error as error:
            return Rejection("NotCsv", f"not CSV: {error}")

    def _counted(self, lines: Iterable[bytes]) -> Iterator[str]:
        for line in lines:
            # What is no UTF-8 is kept, so that it can be told which row holds it.
            text = line.decode(errors="surrogateescape")
            is_first = self.position == 0
            self.position += len(line)
            yield text.removeprefix(_BYTE_ORDER_MARK) if is_first else text


def _header(records: _Records, where: str) -> Record:
    header = next((record for record in records if record != []), [])
    if isinstance(header, Rejection):
        raise InputError(f"{where} cannot be read as CSV: its header is {header.message}")
    try:
        "".join(header).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: the name of a column is not valid UTF-8: {error}") from error
    return header


def _misfit(record: Record | Rejection, header: Record) -> Rejection | None:
    if isinstance(record, Rejection):
        return record
    if len(record) == len(header):
        return None
    return Rejection("WrongFields", f"{len(record)} fields instead of {len(header)}, beginning with {shown(record[0])}")


def _schema(header: Record, records: list[Record]) -> pa.Schema:
    whole = [record for record in records if len(record) == len(header)]
    return pa.schema([(name, _type_of([record[place] for record in whole])) for place, name in enumerate(header)])


def _type_of(values: list[str]) -> pa.DataType:
    """The narrowest type that says all that the texts say; null for a column of empty fields, which fits any other."""
    filled = [value for value in values if value]
    if not filled:
        return pa.null()
    for kind in (pa.int64(), pa.float64()):
        if not any(isinstance(_value(value, kind), str) for value in filled):
            return kind
    return pa.string()


def _value(text: str, kind: pa.DataType) -> Any:
    """A field as the type has it; the text itself where it is none, which then does not fit."""
    if pa.types.is_integer(kind):
        return int(text) if _WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 else text or None
    if pa.types.is_floating(kind):
        return float(text) if _FLOAT.fullmatch(text) and not _is_long(text) else text or None
    return text or None if pa.types.is_null(kind) else text


def _is_long(text: str) -> bool:
    """Whether it is a number of an account or the like, whose last digits a float would change."""
    return text.lstrip("+-").isdigit() and abs(int(text)) > _WHOLE_FLOAT
