from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.chunk import CHUNK as CHUNK_COLUMN
from ray_pipeline.chunk import ERROR, REASON, STAGE, Chunk, Piece
from ray_pipeline.errors import OutputError
from ray_pipeline.rejection import Rejection, rejection_columns
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult, read_result, write_part
from tests.support.chunks import chunk_of_rows, read_table
from triton_models.storage import Storage, open_storage

SINK = SINKS["parquet"]
CHUNK = chunk_of_rows(4)
PART = f"{CHUNK.part}.parquet"


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def table(reasons: list[str | None] | None = None, rows: int = 4) -> pa.Table:
    columns: dict[str, Any] = {
        "id": list(range(rows)),
        "tags": [["a", "b"]] * rows,
        "embedding": pa.array([[0.5, row] for row in range(rows)], pa.list_(pa.float32(), 2)),
        "label": pa.array(["x"] * rows).dictionary_encode(),
        "nothing": pa.nulls(rows),
    }
    return read_table(columns, reasons=reasons)


def test_good_rows_go_to_data_and_the_others_with_their_reasons_to_rejected(output: Storage, tmp_path: Path) -> None:
    result = write_part(output, SINK, table([None, "bad", None, None]))
    content = output.read(f"data/{PART}")
    assert result == PartResult(CHUNK.id, 3, 1, len(content), hashlib.sha256(content).hexdigest())
    data = pq.read_table(tmp_path / "data" / PART)
    assert data["id"].to_pylist() == [0, 2, 3]
    assert data.column_names == ["id", "tags", "embedding", "label", "nothing"]
    assert data.schema.field("embedding").type == pa.list_(pa.float32(), 2)
    assert pq.read_table(tmp_path / "rejected" / PART).to_pylist() == [
        {"object": "a.parquet", "row": 1, "stage": "read", "error": "NotJson", "reason": "bad"}
    ]


def test_no_rejected_part_is_written_where_no_row_was_rejected(output: Storage) -> None:
    write_part(output, SINK, table())
    assert [found.path for found in output.objects()] == [f"data/{PART}"]


def test_a_chunk_of_rejected_rows_is_committed_too(output: Storage, tmp_path: Path) -> None:
    result = write_part(output, SINK, table(["bad"] * 4))
    assert (result.chunk, result.scored, result.rejected) == (CHUNK.id, 0, 4)
    assert pq.read_table(tmp_path / "data" / PART).num_rows == 0
    assert read_result(output, SINK, CHUNK) == result


def test_the_same_rows_are_the_same_bytes_whatever_pieces_they_came_in(output: Storage) -> None:
    numbers = pa.array(np.arange(20_000 * 32, dtype=np.float32))
    wide = {"id": np.arange(20_000), "embedding": pa.FixedSizeListArray.from_arrays(numbers, 32)}
    whole = read_table(wide, reasons=["bad", *[None] * 19_999])
    write_part(output, SINK, whole)
    first = {found.path: output.read(found.path) for found in output.objects()}
    write_part(output, SINK, pa.concat_tables([whole.slice(0, 777), whole.slice(777, 9000), whole.slice(9777)]))
    assert {found.path: output.read(found.path) for found in output.objects()} == first


class Recorded(Storage):
    """Notes the order of the writes."""

    def write(self, path: str, content: bytes | pa.Buffer | Path) -> None:
        super().write(path, content)
        super().write("order", (self.read("order") if self.stat("order") else b"") + f"{path} ".encode())


def test_the_data_part_is_written_last(output: Storage) -> None:
    write_part(Recorded(output.uri, output.root, output.filesystem), SINK, table([None, "bad", None, None]))
    assert output.read("order").decode().split() == [f"rejected/{PART}", f"data/{PART}"]


def test_a_part_of_a_chunk_is_not_committed(output: Storage) -> None:
    with pytest.raises(OutputError, match="not committed"):
        write_part(output, SINK, table().slice(0, 3))
    assert output.objects() == []


def test_a_committed_part_tells_its_counts(output: Storage) -> None:
    written = write_part(output, SINK, table([None, None, "bad", None]))
    assert read_result(output, SINK, CHUNK) == written


@pytest.mark.parametrize("content", [b"", b"PAR1", "truncated"])
def test_a_part_that_is_not_whole_is_refused(output: Storage, tmp_path: Path, content: bytes | str) -> None:
    write_part(output, SINK, table())
    path = tmp_path / "data" / PART
    path.write_bytes(path.read_bytes()[:-20] if isinstance(content, str) else content)
    with pytest.raises(OutputError, match=rf"data/{PART} is not a whole Parquet file .*; delete it and run again"):
        read_result(output, SINK, CHUNK)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_part_with_other_rows_than_its_chunk_is_refused(output: Storage, tmp_path: Path, rows: int) -> None:
    write_part(output, SINK, table())
    pq.write_table(pa.table({"id": list(range(rows))}), tmp_path / "data" / PART)
    told = rf"data/{PART}: {rows} scored \+ 0 rejected rows are not the 4 rows of a\.parquet rows 0-3; delete this part"
    with pytest.raises(OutputError, match=told):
        read_result(output, SINK, CHUNK)


def test_a_part_that_is_gone_is_named(output: Storage) -> None:
    with pytest.raises(OutputError, match=rf"data/{PART} is gone; run the job again"):
        read_result(output, SINK, CHUNK)


def test_a_rejected_part_that_is_not_whole_is_refused(output: Storage) -> None:
    write_part(output, SINK, table(["bad", None, None, None]))
    output.write(f"rejected/{PART}", b"PAR1")
    with pytest.raises(OutputError, match=rf"rejected/{PART} is not a whole Parquet file .*; delete it and the part"):
        read_result(output, SINK, CHUNK)


def test_a_rejected_row_of_a_group_names_its_own_object(output: Storage, tmp_path: Path) -> None:
    group = Chunk((Piece("a.jsonl", "1", 2), Piece("b.jsonl", "2", 2)))
    rejection = Rejection("NullValue", "null is not text")
    ours = table().drop_columns([CHUNK_COLUMN, ERROR, REASON, STAGE])
    columns = {CHUNK_COLUMN: group.mark(), **rejection_columns([None, None, None, rejection], [None] * 3 + ["prepare"])}
    for name, column in columns.items():
        ours = ours.append_column(name, column)
    assert write_part(output, SINK, ours).rejected == 1
    assert pq.read_table(tmp_path / "rejected" / f"{group.part}.parquet").to_pylist() == [
        {"object": "b.jsonl", "row": 1, "stage": "prepare", "error": "NullValue", "reason": "null is not text"}
    ]


def test_stages_and_reasons_do_not_reach_the_data(output: Storage, tmp_path: Path) -> None:
    write_part(output, SINK, table())
    names = pq.read_schema(tmp_path / "data" / PART).names
    assert {STAGE, ERROR, REASON}.isdisjoint(names)
