"""Parts as Parquet."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ray_pipeline.errors import OutputError


class ParquetSink:
    """Objects that end in `.parquet`, compressed with zstd."""

    suffix = ".parquet"

    def encoded(self, rows: pa.Table) -> pa.Buffer:
        """The whole file."""
        # Model outputs hardly repeat: a dictionary of them costs time and saves nothing.
        repeating = [field.name for field in rows.schema if not _is_numbers(field.type)]
        # In one piece: where a table is cut shows in the pages, and the same rows shall be the same bytes.
        whole = rows.combine_chunks().replace_schema_metadata(None)
        sink = pa.BufferOutputStream()
        pq.write_table(whole, sink, compression="zstd", use_dictionary=repeating or False)
        return sink.getvalue()

    def merged(self, content: bytes, rows: pa.Table, order: Sequence[int]) -> pa.Buffer:
        """The whole file."""
        # Parquet gives the items of lists a name of its own.
        there = self.decoded(content).cast(rows.schema)
        return self.encoded(pa.concat_tables([there, rows]).combine_chunks().take(order))

    def decoded(self, content: bytes) -> pa.Table:
        """Every column in the type that it was written with."""
        try:
            return pq.read_table(pa.BufferReader(content))
        except (pa.ArrowException, OSError) as error:
            raise OutputError(f"not a whole Parquet file ({error})") from error

    def count(self, content: bytes) -> int:
        """What the footer says."""
        try:
            return int(pq.read_metadata(pa.BufferReader(content)).num_rows)
        except (pa.ArrowException, OSError) as error:
            raise OutputError(f"not a whole Parquet file ({error})") from error


def _is_numbers(kind: pa.DataType) -> bool:
    while pa.types.is_nested(kind) and kind.num_fields == 1:
        kind = kind.field(0).type
    return bool(pa.types.is_floating(kind))
