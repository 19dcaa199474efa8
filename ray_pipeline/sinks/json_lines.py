"""Parts as JSON Lines."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ray_pipeline.errors import OutputError

_ENDINGS = {None: "", "gzip": ".gz", "zstd": ".zst"}


class JsonLinesSink:
    """Objects that end in `.jsonl`, or in `.jsonl.gz` or `.jsonl.zst` and are compressed so.

    A float has the digits that tell it from its neighbours in its own type; NaN and infinities are null. Bytes are in
    base64, dates and times as ISO 8601 has them. What is no UTF-8 in a text becomes U+FFFD, since JSON cannot hold it.
    """

    def __init__(self, compression: str | None = None) -> None:
        """`compression` is `gzip` or `zstd`."""
        self._compression = compression
        self.suffix = f".jsonl{_ENDINGS[compression]}"

    def encoded(self, rows: pa.Table) -> pa.Buffer:
        """A line for each row."""
        return self._whole(_encoded_lines(rows))

    def merged(self, content: bytes, rows: pa.Table, order: Sequence[int]) -> pa.Buffer:
        """A line for each row; those that were there stay as they are."""
        lines = [*self._lines(content), *_encoded_lines(rows)]
        return self._whole(lines[place] for place in order)

    def decoded(self, content: bytes) -> pa.Table:
        """Every column in the type that JSON tells."""
        try:
            return pa.Table.from_pylist([orjson.loads(line) for line in self._lines(content)])
        except orjson.JSONDecodeError as error:
            raise OutputError(f"not whole JSON Lines ({error})") from error

    def count(self, content: bytes) -> int:
        """The lines."""
        return len(self._lines(content))

    def _whole(self, lines: Iterable[bytes]) -> pa.Buffer:
        sink = pa.BufferOutputStream()
        stream = pa.CompressedOutputStream(sink, self._compression) if self._compression is not None else sink
        for line in lines:
            stream.write(line + b"\n")
        if stream is not sink:
            stream.close()
        return sink.getvalue()

    def _lines(self, content: bytes) -> list[bytes]:
        try:
            if self._compression is not None:
                if not content:
                    raise OSError("it is empty")
                content = pa.CompressedInputStream(pa.BufferReader(content), self._compression).read()
        except OSError as error:
            raise OutputError(f"not a whole {self._compression} file ({error})") from error
        if content and not content.endswith(b"\n"):
            raise OutputError("not whole JSON Lines (the last line has no end)")
        return content.split(b"\n")[:-1]


def _encoded_lines(rows: pa.Table) -> Iterator[bytes]:
    columns = {name: _values(rows[name].combine_chunks()) for name in rows.column_names}
    for row in zip(*columns.values(), strict=True):
        yield orjson.dumps(dict(zip(columns, row, strict=True)), default=_told, option=orjson.OPT_SERIALIZE_NUMPY)


def _values(column: pa.Array) -> Iterable[Any]:
    """The rows of a column: numpy's where they are floats, which keep their own type, and Python's elsewhere."""
    shape: list[int] = []
    numbers = column
    while pa.types.is_fixed_size_list(numbers.type) and not numbers.null_count:
        shape.append(numbers.type.list_size)
        numbers = numbers.flatten()
    if not pa.types.is_floating(numbers.type) or numbers.null_count or math.prod(shape) == 0:
        return _python_values(column)
    values: Iterable[Any] = numbers.to_numpy(zero_copy_only=False).reshape(len(column), *shape)
    return values


def _python_values(column: pa.Array) -> list[Any]:
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = [value and value.decode(errors="replace") for value in column.cast(pa.binary()).to_pylist()]
    return [_narrowed(value, column.type) for value in values] if _has_short_floats(column.type) else values


def _has_short_floats(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_has_short_floats(kind.field(place).type) for place in range(kind.num_fields))
    return bool(pa.types.is_float32(kind) or pa.types.is_float16(kind))


def _narrowed(value: Any, kind: pa.DataType) -> Any:
    """A value with numpy's floats in place of Python's, which have the digits of a longer type."""
    if isinstance(value, float):
        return np.float32(value) if _has_short_floats(kind) else value
    if isinstance(value, dict):
        return {field.name: _narrowed(value[field.name], field.type) for field in kind}
    if isinstance(value, list) and not pa.types.is_map(kind):
        return [_narrowed(one, kind.value_type) for one in value]
    return value


def _told(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    # Arrow gives nanoseconds as a subclass of Python's own type.
    return value.isoformat() if isinstance(value, dt.datetime) else str(value)
