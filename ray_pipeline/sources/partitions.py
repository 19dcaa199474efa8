"""Folders called `key=value`, as Hive writes them: their keys are columns of every row below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import pyarrow as pa


def keys_of(path: str) -> dict[str, str]:
    """The keys in the folders of an object's path, such as `{"day": "2026-11-01"}` of `day=2026-11-01/a.parquet`."""
    parts = (folder.partition("=") for folder in path.split("/")[:-1])
    return {unquote(name): unquote(value) for name, is_key, value in parts if name and is_key}


def key_schema(paths: Iterable[str]) -> pa.Schema:
    """The keys of all paths: whole numbers where every value is one as people write it, texts elsewhere."""
    values: dict[str, set[str]] = {}
    for path in paths:
        for name, value in keys_of(path).items():
            values.setdefault(name, set()).add(value)
    return pa.schema([(name, _type_of(seen)) for name, seen in values.items()])


def with_keys(table: pa.Table, keys: Mapping[str, str], schema: pa.Schema, rows: int) -> pa.Table:
    """The table with a column for each of `keys`, in the order and the types of `schema`."""
    constant = {name: pa.repeat(pa.scalar(value).cast(schema.field(name).type), rows) for name, value in keys.items()}
    columns = [constant[name] if name in constant else table[name] for name in schema.names]
    return pa.table(columns, schema=schema)


def _type_of(values: Iterable[str]) -> pa.DataType:
    return pa.int64() if all(_is_whole(value) for value in values) else pa.string()


def _is_whole(value: str) -> bool:
    """Whether a number says all that the text says: `7` does, `007` does not."""
    return value.removeprefix("-").isdecimal() and str(int(value)) == value and -(2**63) <= int(value) < 2**63
