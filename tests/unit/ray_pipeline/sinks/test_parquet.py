from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.chunk import REASON, STAGE
from ray_pipeline.errors import OutputError
from ray_pipeline.sinks.parquet import PartResult, read_result, write_part
from tests.support.chunks import chunk_of_rows, read_table
from triton_models.storage import Storage, open_storage

PART = chunk_of_rows(4).part


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
    result = write_part(output, table([None, "bad", None, None]))
    assert result == PartResult(PART, 3, 1)
    data = pq.read_table(tmp_path / "data" / PART)
    assert data["id"].to_pylist() == [0, 2, 3]
    assert data.column_names == ["id", "tags", "embedding", "label", "nothing"]
    assert data.schema.field("embedding").type == pa.list_(pa.float32(), 2)
    assert pq.read_table(tmp_path / "rejected" / PART).to_pylist() == [
        {"object": "a.parquet", "row": 1, "stage": "read", "reason": "bad"}
    ]


def test_no_rejected_part_is_written_where_no_row_was_rejected(output: Storage) -> None:
    write_part(output, table())
    assert [found.path for found in output.objects()] == [f"data/{PART}"]


def test_a_chunk_of_rejected_rows_is_committed_too(output: Storage, tmp_path: Path) -> None:
    assert write_part(output, table(["bad"] * 4)) == PartResult(PART, 0, 4)
    assert pq.read_table(tmp_path / "data" / PART).num_rows == 0
    assert read_result(output, PART) == PartResult(PART, 0, 4)


def test_the_same_rows_are_the_same_bytes_whatever_pieces_they_came_in(output: Storage) -> None:
    numbers = pa.array(np.arange(20_000 * 32, dtype=np.float32))
    wide = {"id": np.arange(20_000), "embedding": pa.FixedSizeListArray.from_arrays(numbers, 32)}
    whole = read_table(wide, reasons=["bad", *[None] * 19_999])
    write_part(output, whole)
    first = {found.path: output.read(found.path) for found in output.objects()}
    write_part(output, pa.concat_tables([whole.slice(0, 777), whole.slice(777, 9000), whole.slice(9777)]))
    assert {found.path: output.read(found.path) for found in output.objects()} == first


class Recorded(Storage):
    """Notes the order of the writes."""

    def write(self, path: str, content: bytes | pa.Buffer) -> None:
        super().write(path, content)
        super().write("order", (self.read("order") if self.stat("order") else b"") + f"{path} ".encode())


def test_the_data_part_is_written_last(output: Storage) -> None:
    write_part(Recorded(output.uri, output.root, output.filesystem), table([None, "bad", None, None]))
    assert output.read("order").decode().split() == [f"rejected/{PART}", f"data/{PART}"]


def test_a_part_of_a_chunk_is_not_committed(output: Storage) -> None:
    with pytest.raises(OutputError, match="not committed"):
        write_part(output, table().slice(0, 3))
    assert output.objects() == []


def test_a_committed_part_tells_its_counts(output: Storage) -> None:
    written = write_part(output, table([None, None, "bad", None]))
    assert read_result(output, PART) == written


@pytest.mark.parametrize("content", [b"", b"PAR1", "truncated", "foreign", "renamed"])
def test_a_part_that_is_not_whole_and_ours_is_refused(output: Storage, tmp_path: Path, content: object) -> None:
    write_part(output, table())
    path = tmp_path / "data" / PART
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:-20])
    elif content == "foreign":
        pq.write_table(pa.table({"id": [1]}), path)
    elif content == "renamed":
        other = replace(chunk_of_rows(4), path="b.parquet").part
        path.rename(path.with_name(other))
        with pytest.raises(OutputError, match="does not hold what its footer says; delete it and run again"):
            read_result(output, other)
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    with pytest.raises(OutputError, match=rf"data/{PART} is not a whole part .*; delete it and run again"):
        read_result(output, PART)


def test_stages_and_reasons_do_not_reach_the_data(output: Storage, tmp_path: Path) -> None:
    write_part(output, table())
    names = pq.read_schema(tmp_path / "data" / PART).names
    assert {STAGE, REASON}.isdisjoint(names)
