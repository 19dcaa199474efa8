"""The output formats that a job file may ask for."""

from __future__ import annotations

from ray_pipeline.sinks.base import Sink
from ray_pipeline.sinks.json_lines import JsonLinesSink
from ray_pipeline.sinks.parquet import ParquetSink

SINKS: dict[str, Sink] = {
    "parquet": ParquetSink(),
    "jsonl": JsonLinesSink(),
    "jsonl.gz": JsonLinesSink("gzip"),
    "jsonl.zst": JsonLinesSink("zstd"),
}
"""By `[output] format`."""
