"""A scored chunk is committed: the rejected part first, the data part last, because the data part is the commit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ray_pipeline.chunk import ERROR, INTERNAL, REASON, ROW, STAGE, Chunk, chunk_of
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

    Raises OutputError if the table does not hold exactly the rows of one chunk: then nothing was committed.
    """
    chunk = chunk_of(table)
    good = pc.is_null(table[ERROR])
    kept = [name for name in table.column_names if not name.startswith(INTERNAL)]
    rejected = table.filter(pc.invert(good))
    if rejected.num_rows:
        output.write(rejected_path(chunk), REJECTED_SINK.encoded(_rejected_rows(chunk, rejected)))
    data = table.filter(good).select(kept)
    content = sink.encoded(data)
    output.write(data_path(chunk, sink), content)
    return PartResult(chunk.id, data.num_rows, rejected.num_rows, content.size, hashlib.sha256(content).hexdigest())


def read_result(output: Storage, sink: Sink, chunk: Chunk) -> PartResult:
    """What the parts of a committed chunk hold, counted from their content.

    Raises OutputError for a part that is not whole, or that has other rows than the chunk.
    """
    content = read_content(output, data_path(chunk, sink))
    where = f"{output.uri}/{data_path(chunk, sink)}"
    try:
        scored = sink.count(content)
    except OutputError as error:
        raise OutputError(f"{where} is {error}; delete it and run again") from error
    rejected = chunk.rows - scored
    there = count_rejected(output, chunk) if rejected else 0
    if rejected != there:
        raise OutputError(
            f"{where}: {scored} scored + {there} rejected rows are not the {chunk.rows} rows of {chunk}; delete this "
            "part and run again"
        )
    return PartResult(chunk.id, scored, rejected, len(content), hashlib.sha256(content).hexdigest())


def count_rejected(output: Storage, chunk: Chunk) -> int:
    """How many rows the rejected part of a chunk holds, 0 if there is none. Raises OutputError if it is not whole."""
    try:
        return REJECTED_SINK.count(output.read(rejected_path(chunk)))
    except FileNotFoundError:
        return 0
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
