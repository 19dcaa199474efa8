"""What every input format must do with the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.chunk import CHUNK, REASON, ROW, STAGE
from ray_pipeline.errors import InputError
from ray_pipeline.sources.listing import FORMATS, format_of
from tests.support.sources import object_at, own_columns, read_whole, survey_of
from triton_models.storage import Storage, open_storage

ROWS: list[dict[str, Any]] = [
    {"id": row, "text": f"text {row}" if row % 5 else None, "x": [row / 2, 1.0], "note": {"lang": "de"}}
    for row in range(23)
]
WANTED = pa.schema([("text", pa.string()), ("id", pa.int64())])


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)


def _write_json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    ".parquet": _write_parquet,
    ".jsonl": _write_json_lines,
}


@pytest.fixture(params=[one.suffix for one in FORMATS])
def path(request: pytest.FixtureRequest) -> str:
    return f"object{request.param}"


@pytest.fixture
def storage(tmp_path: Path, path: str) -> Storage:
    WRITERS[Path(path).suffix](tmp_path / path, ROWS)
    return open_storage(str(tmp_path))


@pytest.mark.parametrize("rows_per_chunk", [1, 4, 7, 23, 1000])
def test_the_chunks_together_are_the_object(storage: Storage, path: str, rows_per_chunk: int) -> None:
    table = read_whole(format_of(path), storage, path, rows_per_chunk)
    assert own_columns(table).to_pylist() == ROWS
    assert table[ROW].to_pylist() == list(range(len(ROWS)))


def test_chunks_are_full_but_for_the_last_and_carry_the_stamp(storage: Storage, path: str) -> None:
    chunks = survey_of(format_of(path), storage, path, 10).chunks
    assert [(chunk.first_row, chunk.rows) for chunk in chunks] == [(0, 10), (10, 10), (20, 3)]
    assert {(chunk.path, chunk.stamp) for chunk in chunks} == {(path, object_at(storage, path).stamp)}


def test_the_same_object_is_surveyed_the_same_way(storage: Storage, path: str) -> None:
    assert survey_of(format_of(path), storage, path, 4) == survey_of(format_of(path), storage, path, 4)


def test_only_the_columns_of_the_schema_are_read_in_its_order_and_types(storage: Storage, path: str) -> None:
    chunk = survey_of(format_of(path), storage, path, 4).chunks[1]
    table = format_of(path).read(storage, chunk, WANTED)
    assert table.column_names == ["text", "id", CHUNK, ROW, STAGE, REASON]
    assert own_columns(table).schema.equals(WANTED)
    assert table["id"].to_pylist() == [4, 5, 6, 7]


def test_a_schema_with_wider_types_is_followed(storage: Storage, path: str) -> None:
    chunk = survey_of(format_of(path), storage, path).chunks[0]
    table = format_of(path).read(storage, chunk, pa.schema([("id", pa.float64())]))
    assert table["id"].to_pylist() == [float(row) for row in range(23)]


def test_good_rows_have_no_reason(storage: Storage, path: str) -> None:
    table = read_whole(format_of(path), storage, path)
    assert table[STAGE].null_count == table[REASON].null_count == len(ROWS)


def test_an_object_without_rows_has_no_chunks(storage: Storage, path: str, tmp_path: Path) -> None:
    if path.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS).slice(0, 0), tmp_path / path)
    else:
        (tmp_path / path).write_bytes(b"")
    assert survey_of(format_of(path), storage, path).chunks == ()


def test_an_object_that_lost_rows_after_planning_is_an_error(storage: Storage, path: str, tmp_path: Path) -> None:
    survey = survey_of(format_of(path), storage, path)
    WRITERS[Path(path).suffix](tmp_path / path, ROWS[:20])
    with pytest.raises(InputError, match=rf"{path}.*found 20 rows; the object changed after planning"):
        format_of(path).read(storage, survey.chunks[0], survey.schema)


def test_an_object_that_is_gone_after_planning_is_an_error(storage: Storage, path: str, tmp_path: Path) -> None:
    survey = survey_of(format_of(path), storage, path)
    (tmp_path / path).unlink()
    with pytest.raises(InputError, match=path):
        format_of(path).read(storage, survey.chunks[0], survey.schema)
