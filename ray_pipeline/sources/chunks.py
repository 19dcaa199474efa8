"""One chunk is read: its pieces side by side, each from an object that has not changed since the job was planned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from ray_pipeline.chunk import CHUNK, PART, ROW, Chunk, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.rejection import rejection_columns, staged
from ray_pipeline.sources.base import Rows
from ray_pipeline.sources.listing import format_of
from ray_pipeline.sources.partitions import keys_of, with_keys
from triton_models.storage import Storage

_PIECES_AT_ONCE = 16


def read_chunk(storage: Storage, chunk: Chunk, schema: pa.Schema) -> pa.Table:
    """The rows of a chunk: the columns of `schema`, and CHUNK, PART, ROW, STAGE, ERROR, REASON.

    Raises InputError if an object is gone, has changed, or cannot be read.
    """
    with ThreadPoolExecutor(min(_PIECES_AT_ONCE, len(chunk.pieces))) as pool:
        pieces = list(pool.map(lambda piece: _read(storage, piece, schema), chunk.pieces))
    table = pa.concat_tables([rows.table for rows in pieces])
    rejections = [rejection for rows in pieces for rejection in rows.rejections]
    travelling = {
        CHUNK: chunk.mark(),
        PART: pa.nulls(chunk.rows, pa.large_binary()),
        ROW: pa.array(range(chunk.rows), pa.int64()),
        **rejection_columns(rejections, staged(rejections, [None] * chunk.rows, "read")),
    }
    for name, column in travelling.items():
        table = table.append_column(name, column)
    return table


def _read(storage: Storage, piece: Piece, schema: pa.Schema) -> Rows:
    keys = {name: value for name, value in keys_of(piece.path).items() if name in schema.names}
    own = pa.schema([field for field in schema if field.name not in keys])
    source = format_of(piece.path)
    try:
        rows = storage.healed(lambda: source.read(storage, piece, own), piece.path)
    except InputError:
        _check_unchanged(storage, piece)  # which would be why
        raise
    # Afterwards: an object that is replaced while it is read is read in part as it was and in part as it is.
    _check_unchanged(storage, piece)
    if rows.table.num_rows != piece.rows:
        raise InputError(f"{storage.uri}/{piece}: found {rows.table.num_rows} rows; the object changed after planning")
    return Rows(with_keys(rows.table, keys, schema, piece.rows), rows.rejections)


def _check_unchanged(storage: Storage, piece: Piece) -> None:
    found = storage.stat(piece.path)
    if found is None or found.stamp != piece.stamp:
        state = "is gone" if found is None else "has changed"
        raise InputError(
            f"{storage.uri}/{piece.path} {state} since the job was planned; `--refresh` plans again what is not "
            "scored, or score it into a new folder"
        )
