"""A scored chunk is committed: the rejected part first, the data part last, because the data part is the commit.

Rejected rows that are scored again are put in between the rows that the data part holds. If any has an answer now, the
old data part is taken away before anything is written. So at every moment both parts are the old ones, or both are the
new ones, or there is no data part, which is to say that the chunk is not committed. Nothing is lost with the old one: a
worker that is asked once more finds its content in the table, and a run that is started again scores the whole chunk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ray_pipeline.chunk import CHUNK, ERROR, INTERNAL, PART, REASON, ROW, STAGE, Chunk, chunk_of
from ray_pipeline.errors import OutputError
from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.parquet import ParquetSink
from triton_models.storage import Storage

DATA = "data"
REJECTED = "rejected"
REJECTED_SINK = ParquetSink()
"""Rejected rows are always Parquet: they are few, and for people and for `--retry-rejected`."""


@dataclass(frozen=True, slots=True)
class PartResult:
    """One committed chunk: its id, its scored and its rejected rows, the size and the SHA-256 of its data part."""

    chunk: str
    scored: int
    rejected: int
    bytes: int
    sha256: str


def write_part(output: Storage, sink: Sink, table: pa.Table) -> PartResult:
    """Commits the chunk that a table holds. The same rows give the same objects, whoever writes them and however often.

    Raises OutputError if the table does not hold exactly the rows that were read of one chunk: then nothing was
    committed.
    """
    chunk = chunk_of(table)
    good = pc.is_null(table[ERROR])
    kept = [name for name in table.column_names if not name.startswith(INTERNAL)]
    rejected, data = table.filter(pc.invert(good)), table.filter(good)
    earlier = table[PART][0].as_py()
    if earlier is None:
        content = sink.encoded(data.select(kept))
    elif data.num_rows:
        content = sink.merged(earlier, data.select(kept), _input_order(chunk, table[ROW], data[ROW]))
        output.delete(data_path(chunk, sink))
    else:
        content = pa.py_buffer(earlier)
    if rejected.num_rows:
        output.write(rejected_path(chunk), REJECTED_SINK.encoded(_rejected_rows(chunk, rejected)))
    elif earlier is not None:
        output.delete(rejected_path(chunk))
    if earlier is None or data.num_rows:
        output.write(data_path(chunk, sink), content)
    scored = chunk.rows - rejected.num_rows
    return PartResult(chunk.id, scored, rejected.num_rows, content.size, hashlib.sha256(content).hexdigest())


def only_rejected(output: Storage, sink: Sink, chunk: Chunk, table: pa.Table) -> pa.Table:
    """Of a chunk as it was read, the rows that were rejected when it was committed, and what else its part holds.

    Gives the whole chunk, to be scored as one that is not committed, where the parts do not hold its rows: an attempt
    that Ray took for dead has been here in the meantime.
    """
    try:
        content = output.read(data_path(chunk, sink))
    except FileNotFoundError:
        return table
    named = read_rejected(output, chunk)
    origins = {(one["object"], one["row"]) for one in named.to_pylist()} if named is not None else set()
    rows = [row for row, origin in enumerate(chunk.origins(range(chunk.rows))) if origin in origins]
    if not rows or _count(output, sink, chunk, content) + len(rows) != chunk.rows:
        return table
    part = pa.array([content, *[None] * (len(rows) - 1)], pa.large_binary())
    again = table.take(rows)
    for name, column in ((CHUNK, chunk.mark(rows)), (PART, part)):
        again = again.set_column(again.column_names.index(name), name, column)
    return again


def read_result(output: Storage, sink: Sink, chunk: Chunk) -> PartResult:
    """What the parts of a committed chunk hold, counted from their content.

    Raises OutputError for a part that is not whole, or that has other rows than the chunk.
    """
    content = read_content(output, data_path(chunk, sink))
    scored = _count(output, sink, chunk, content)
    rejected = chunk.rows - scored
    there = count_rejected(output, chunk) if rejected else 0
    if rejected != there:
        raise OutputError(
            f"{output.uri}/{data_path(chunk, sink)}: {scored} scored + {there} rejected rows are not the {chunk.rows} "
            f"rows of {chunk}; delete this part and run again"
        )
    return PartResult(chunk.id, scored, rejected, len(content), hashlib.sha256(content).hexdigest())


def count_rejected(output: Storage, chunk: Chunk) -> int:
    """How many rows the rejected part of a chunk holds, 0 if there is none. Raises OutputError if it is not whole."""
    named = read_rejected(output, chunk)
    return named.num_rows if named is not None else 0


def _count(output: Storage, sink: Sink, chunk: Chunk, content: bytes) -> int:
    try:
        return sink.count(content)
    except OutputError as error:
        raise OutputError(f"{output.uri}/{data_path(chunk, sink)} is {error}; delete it and run again") from error


def read_rejected(output: Storage, chunk: Chunk) -> pa.Table | None:
    """The rejected part of a chunk, None if there is none. Raises OutputError if it is not whole."""
    try:
        return REJECTED_SINK.decoded(output.read(rejected_path(chunk)))
    except FileNotFoundError:
        return None
    except OutputError as error:
        where = f"{output.uri}/{rejected_path(chunk)}"
        raise OutputError(
            f"{where} is {error}; delete it and the part of its name in {DATA}/, and run again"
        ) from error


def read_content(output: Storage, path: str) -> bytes:
    """The bytes of a part. Raises OutputError if it is gone."""
    try:
        return output.read(path)
    except FileNotFoundError as error:
        raise OutputError(f"{output.uri}/{path} is gone; run the job again") from error


def data_path(chunk: Chunk, sink: Sink) -> str:
    """Where the scored rows of a chunk are, below the output folder."""
    return f"{DATA}/{chunk.part}{sink.suffix}"


def rejected_path(chunk: Chunk) -> str:
    """Where its rejected rows are."""
    return f"{REJECTED}/{chunk.part}{REJECTED_SINK.suffix}"


def _input_order(chunk: Chunk, again: pa.ChunkedArray, scored: pa.ChunkedArray) -> list[int]:
    """Where the rows of a merged part are: in what the part held, or behind it among those that were `scored` now."""
    before = np.delete(np.arange(chunk.rows), again.to_numpy())
    order: list[int] = np.argsort(np.concatenate([before, scored.to_numpy()])).tolist()
    return order


def _rejected_rows(chunk: Chunk, table: pa.Table) -> pa.Table:
    origins = chunk.origins(table[ROW].to_pylist())
    return pa.table(
        {
            "object": pa.array([path for path, _ in origins], pa.string()),
            "row": pa.array([row for _, row in origins], pa.int64()),
            "stage": table[STAGE],
            "error": table[ERROR],
            "reason": table[REASON],
        }
    )
