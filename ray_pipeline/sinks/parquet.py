"""Parts as Parquet: the rejected part first, the data part last, because the data part is the commit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ray_pipeline.chunk import INTERNAL, REASON, ROW, STAGE, Chunk, chunk_of
from ray_pipeline.errors import OutputError
from triton_models.storage import Storage

DATA = "data"
REJECTED = "rejected"
_RESULT = b"rayton.part"


@dataclass(frozen=True)
class PartResult:
    """One committed chunk: the name of its part, the rows it holds, the rows that were rejected."""

    part: str
    scored: int
    rejected: int


def write_part(output: Storage, table: pa.Table) -> PartResult:
    """Commits the chunk that a table holds. The same rows give the same objects, whoever writes them and however often.

    Raises OutputError if the table does not hold exactly the rows of one chunk: then nothing was committed.
    """
    chunk = chunk_of(table)
    good = pc.is_null(table[REASON])
    kept = [name for name in table.column_names if not name.startswith(INTERNAL)]
    data, rejected = table.filter(good).select(kept), table.filter(pc.invert(good))
    result = PartResult(chunk.part, data.num_rows, rejected.num_rows)
    if rejected.num_rows:
        output.write(f"{REJECTED}/{chunk.part}", _encoded(_rejected_rows(chunk, rejected), result))
    output.write(f"{DATA}/{chunk.part}", _encoded(data, result))
    return result


def read_result(output: Storage, part: str) -> PartResult:
    """What a committed data part says about itself, from its footer. Raises OutputError if it is not one of ours."""
    where = f"{output.uri}/{DATA}/{part}"
    try:
        with output.open(f"{DATA}/{part}") as file:
            metadata = pq.read_metadata(file)
        result = PartResult(**json.loads(metadata.metadata[_RESULT]))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{where} is not a whole part ({error!r}); delete it and run again") from error
    if result.scored != metadata.num_rows or result.part != part:
        raise OutputError(f"{where} does not hold what its footer says; delete it and run again")
    return result


def _rejected_rows(chunk: Chunk, table: pa.Table) -> pa.Table:
    return pa.table(
        {
            "object": pa.array([chunk.path] * table.num_rows, pa.string()),
            "row": table[ROW],
            "stage": table[STAGE],
            "reason": table[REASON],
        }
    )


def _encoded(table: pa.Table, result: PartResult) -> pa.Buffer:
    metadata = {_RESULT: json.dumps(asdict(result)).encode()}
    # Model outputs hardly repeat: a dictionary of them costs time and saves nothing.
    repeating = [field.name for field in table.schema if not _is_numbers(field.type)]
    # In one piece: where a table is cut shows in the pages, and the same rows shall be the same bytes.
    whole = table.combine_chunks().replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    pq.write_table(whole, sink, compression="zstd", use_dictionary=repeating or False)
    return sink.getvalue()


def _is_numbers(kind: pa.DataType) -> bool:
    while pa.types.is_nested(kind) and kind.num_fields == 1:
        kind = kind.field(0).type
    return bool(pa.types.is_floating(kind))
