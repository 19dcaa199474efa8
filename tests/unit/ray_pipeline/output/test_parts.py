from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ray_pipeline.output import parts
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.formats import SINKS
from tests.support.chunks import chunk_of_rows
from triton_models.storage import Storage, open_storage

SINK = SINKS["parquet"]
CHUNKS = (chunk_of_rows(4), chunk_of_rows(4, first_row=4), chunk_of_rows(2, first_row=8))
PLAN = Plan("in", pa.schema([("id", pa.int64())]), CHUNKS)


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def test_what_is_committed_is_what_has_a_data_part(output: Storage) -> None:
    assert parts.committed(output, SINK) == {}
    output.write(f"data/{CHUNKS[0].part}.parquet", b"seven b")
    output.write(f"rejected/{CHUNKS[1].part}.parquet", b"half of a chunk")
    output.write("data/README.txt", b"no part")
    assert parts.committed(output, SINK) == {CHUNKS[0].id: 7}
    assert parts.with_rejected(output) == {CHUNKS[1].id}


@pytest.mark.parametrize("format", SINKS)
def test_a_part_of_another_format_is_not_committed(output: Storage, format: str) -> None:
    for sink in SINKS.values():
        output.write(f"data/{CHUNKS[0].part}{sink.suffix}", b"x" * len(sink.suffix))
    assert parts.committed(output, SINKS[format]) == {CHUNKS[0].id: len(SINKS[format].suffix)}


def test_half_written_files_of_a_killed_run_are_removed(output: Storage, tmp_path: Path) -> None:
    output.write(f"data/{CHUNKS[0].part}.parquet", b"whole")
    left = tmp_path / "data" / f".{CHUNKS[1].part}.parquet.0123.tmp"
    left.write_bytes(b"half")
    hidden = tmp_path / "data" / ".mine"
    hidden.write_bytes(b"kept")
    parts.tidy(output, SINK, PLAN)
    assert parts.committed(output, SINK).keys() == {CHUNKS[0].id}
    assert (left.exists(), hidden.exists()) == (False, True)


def test_what_another_run_writes_to_take_the_lock_is_left_alone(output: Storage, tmp_path: Path) -> None:
    (tmp_path / "_lock").mkdir()
    being_written = tmp_path / "_lock" / ".000002.json.0123.tmp"
    being_written.write_bytes(b"{")
    parts.tidy(output, SINK, PLAN)
    assert being_written.exists()


def test_parts_of_chunks_that_are_no_longer_planned_are_removed(output: Storage) -> None:
    old = chunk_of_rows(4, path="changed.parquet")
    for chunk in (old, CHUNKS[0]):
        output.write(f"data/{chunk.part}.parquet", b"data")
        output.write(f"rejected/{chunk.part}.parquet", b"rejected")
    parts.tidy(output, SINK, PLAN)
    assert [one.path for one in output.objects()] == [
        f"data/{CHUNKS[0].part}.parquet",
        f"rejected/{CHUNKS[0].part}.parquet",
    ]


def test_a_rejected_part_is_removed_alone(output: Storage) -> None:
    for folder in ("data", "rejected"):
        output.write(f"{folder}/{CHUNKS[1].part}.parquet", b"content")
    parts.remove_rejected(output, [CHUNKS[1].id])
    assert parts.committed(output, SINK).keys() == {CHUNKS[1].id}
    assert parts.with_rejected(output) == set()
