"""CSV with a header: one pass counts the records and notes where each piece begins; a piece is read by position."""

from __future__ import annotations

import csv
import io
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
Record = list[str]


class Csv:
    """Objects that end in `.csv`, or in `.tsv` with tabs, also compressed, in UTF-8, with the names in the first line.

    Fields are quoted as RFC 4180 says, and may hold line ends then. Blank lines are no rows. A column holds whole
    numbers or floats where the first thousand rows do, and texts elsewhere; an empty field is null among numbers.
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
                positions.add(records.position - at, is_row=bool(record))
                at = records.position
                if record and len(first) < ROWS_FOR_TYPES:
                    first.append(record)
        return Survey(_schema(header, first), positions.pieces())

    def read(self, storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
        """Reads the bytes of the piece; a record with too few or too many fields, or a wrong one, is rejected."""
        with opened(storage, piece.path) as file:
            header = _header(_Records(file, piece.path), f"{storage.uri}/{piece.path}")
        with opened(storage, piece.path, piece.first_byte) as file:
            lines = io.BytesIO(file.read(piece.end_byte - piece.first_byte))
        records = [record for record in _Records(lines, piece.path) if record]
        rejections: Rejections = [_misfit(record, header) for record in records]
        columns = []
        for field in schema:
            place = header.index(field.name)
            values = [
                _value(record[place], field.type) if rejection is None else None
                for record, rejection in zip(records, rejections, strict=True)
            ]
            columns.append(column_of(values, field, rejections))
        return Rows(pa.Table.from_arrays(columns, schema=schema), rejections)


class _Records:
    """The records of a file, `position` bytes of which were read for those that were given."""

    def __init__(self, lines: Iterable[bytes], path: str) -> None:
        self.position = 0
        # Its limit is for all readers of a process; texts may be longer than its 128 KiB.
        csv.field_size_limit(sys.maxsize)
        delimiter = "\t" if plain_name(path).endswith(".tsv") else ","
        self._reader = csv.reader(self._counted(lines), delimiter=delimiter)

    def __iter__(self) -> Iterator[Record]:
        return self._reader

    def __next__(self) -> Record:
        return next(self._reader)

    def _counted(self, lines: Iterable[bytes]) -> Iterator[str]:
        for line in lines:
            self.position += len(line)
            # What is no UTF-8 is kept, so that it can be told which row holds it.
            yield line.decode(errors="surrogateescape")


def _header(records: _Records, where: str) -> Record:
    try:
        header = next(records)
    except StopIteration:
        return []
    except csv.Error as error:
        raise InputError(f"{where} cannot be read as CSV: {error}") from error
    header[:1] = [name.removeprefix("\ufeff") for name in header[:1]]
    try:
        "".join(header).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: the name of a column is not valid UTF-8: {error}") from error
    return header


def _misfit(record: Record, header: Record) -> Rejection | None:
    if len(record) == len(header):
        return None
    return Rejection("WrongFields", f"{len(record)} fields instead of {len(header)}, beginning with {shown(record[0])}")


def _schema(header: Record, records: list[Record]) -> pa.Schema:
    whole = [record for record in records if len(record) == len(header)]
    return pa.schema([(name, _type_of([record[place] for record in whole])) for place, name in enumerate(header)])


def _type_of(values: list[str]) -> pa.DataType:
    """The narrowest type that says all that the texts say: `007` is a text, and so is a column of empty fields."""
    filled = [value for value in values if value]
    for kind in (pa.int64(), pa.float64()):
        if filled and all(_is_of(value, kind) for value in filled):
            return kind
    return pa.string()


def _is_of(value: str, kind: pa.DataType) -> bool:
    number = _value(value, kind)
    return isinstance(number, float) or (isinstance(number, int) and str(number) == value)


def _value(text: str, kind: pa.DataType) -> Any:
    """A field as the type has it; the text itself where it is none, which then does not fit."""
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return text
    try:
        return (int if pa.types.is_integer(kind) else float)(text) if text else None
    except ValueError:
        return text
