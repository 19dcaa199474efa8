"""Rejected rows of a committed chunk that are scored again, also by attempts that end in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ray_pipeline.chunk import CHUNK, ERROR, PART, REASON, ROW, STAGE
from ray_pipeline.errors import OutputError
from ray_pipeline.output import parts
from ray_pipeline.output.left import what_is_left
from ray_pipeline.plan import Plan
from ray_pipeline.rejection import Rejection, rejection_columns, staged
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult, only_rejected, read_result, rejected_path, write_part
from tests.support.chunks import chunk_of_rows, read_table
from triton_models.storage import Storage, open_storage

SINK = SINKS["parquet"]
ROWS, FIRST = 6, 8
WHOLE = chunk_of_rows(ROWS, FIRST)
PLAN = Plan("in", pa.schema([]), (WHOLE,))
BAD = [None, "bad", None, "bad", "bad", None]
"""How the rows of the chunk fared at first."""

DATA, REJECTED = f"data/{WHOLE.part}.parquet", f"rejected/{WHOLE.part}.parquet"


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    output = open_storage(str(tmp_path))
    write_part(output, SINK, scored(BAD))
    return output


def scored(reasons: list[str | None]) -> pa.Table:
    columns: dict[str, Any] = {
        "id": list(range(ROWS)),
        "label": pa.array(list("aabbcc")).dictionary_encode(),
        "embedding": pa.array([[0.5, row] for row in range(ROWS)], pa.list_(pa.float32(), 2)),
    }
    return read_table(columns, FIRST, reasons)


def again(output: Storage, still_bad: list[int]) -> pa.Table:
    """The rejected rows after they were scored again: those that are `still_bad` have another reason now."""
    read = scored([None] * ROWS)
    table = only_rejected(output, SINK, WHOLE, read)
    rejections = [Rejection("Bad", "still") if row in still_bad else None for row in table[ROW].to_pylist()]
    for name, column in rejection_columns(rejections, staged(rejections, [None] * len(rejections), "score")).items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def ids(output: Storage) -> list[int]:
    found: list[int] = SINK.decoded(output.read(DATA))["id"].to_pylist()
    return found


def rejected(output: Storage) -> list[tuple[int, str]]:
    named = SINK.decoded(output.read(REJECTED)).to_pylist()
    return [(row["row"] - FIRST, row["reason"]) for row in named]


def test_only_the_rejected_rows_travel_and_the_part_with_them(output: Storage) -> None:
    table = again(output, [])
    assert table[ROW].to_pylist() == [1, 3, 4]
    assert table["id"].to_pylist() == [1, 3, 4]
    assert table[PART].to_pylist() == [output.read(DATA), None, None]


def test_rows_that_score_now_are_put_in_between_and_the_others_stay_rejected(output: Storage) -> None:
    result = write_part(output, SINK, again(output, [3]))
    assert (result.scored, result.rejected) == (5, 1)
    assert ids(output) == [0, 1, 2, 4, 5]
    assert rejected(output) == [(3, "still")]
    assert read_result(output, SINK, WHOLE) == result


def test_a_chunk_that_is_scored_in_two_steps_is_the_same_object_as_in_one(output: Storage, tmp_path: Path) -> None:
    write_part(output, SINK, again(output, [3, 4]))
    result = write_part(output, SINK, again(output, []))
    at_once = open_storage(str(tmp_path / "at_once"))
    assert write_part(at_once, SINK, scored([None] * ROWS)) == result
    assert output.read(DATA) == at_once.read(DATA)
    assert output.stat(REJECTED) is None


def test_a_data_part_is_left_alone_where_no_row_scores_now(output: Storage) -> None:
    before = output.stat(DATA)
    known = read_result(output, SINK, WHOLE)
    assert write_part(output, SINK, again(output, [1, 3, 4])) == known
    assert output.stat(DATA) == before
    assert rejected(output) == [(1, "still"), (3, "still"), (4, "still")]


def test_the_rest_of_the_rows_alone_is_not_committed(output: Storage) -> None:
    before = {found.path: output.read(found.path) for found in output.objects()}
    table = again(output, [])
    for part in (table.slice(0, 2), table.slice(1), pa.concat_tables([table, table])):
        with pytest.raises(OutputError, match="not committed"):
            write_part(output, SINK, part)
    assert {found.path: output.read(found.path) for found in output.objects()} == before


class Breaking(Storage):
    """Fails at its next operation but so many, as the last thing that a killed worker does."""

    def write(self, path: str, content: bytes | pa.Buffer | Path) -> None:
        self._count()
        super().write(path, content)

    def delete(self, *paths: str) -> None:
        self._count()
        super().delete(*paths)

    def _count(self) -> None:
        left = int(self.read("_left"))
        if left == 0:
            raise SystemError("killed")
        super().write("_left", str(left - 1).encode())


@pytest.mark.parametrize("survived", range(4))
@pytest.mark.parametrize("still_bad", [[], [3], [1, 3, 4]])
def test_an_attempt_that_is_killed_anywhere_loses_and_doubles_no_row(
    output: Storage, survived: int, still_bad: list[int]
) -> None:
    table = again(output, still_bad)
    output.write("_left", str(survived).encode())
    mortal = Breaking(output.uri, output.root, output.filesystem)
    try:
        finished: PartResult | None = write_part(mortal, SINK, table)
    except SystemError:
        finished = None

    there = parts.committed(output, SINK)
    committed = read_result(output, SINK, WHOLE) if there else None
    # Before the first step, or after the last one, or not committed at all.
    assert committed is None or committed.rejected in (3, len(still_bad))
    assert finished is None or finished == committed
    if committed is not None:
        data = set(ids(output))
        named = {row for row, _ in rejected(output)} if committed.rejected else set()
        assert (data | named, data & named) == (set(range(ROWS)), set())
    for retry_rejected in (False, True):
        left = what_is_left(output, SINK, PLAN, there, retry_rejected=retry_rejected)
        assert left.rows == (ROWS if committed is None else committed.rejected if retry_rejected else 0)

    # Ray asks another worker with the same table; a new run reads what is there.
    assert write_part(output, SINK, table).rejected == len(still_bad)
    assert read_result(output, SINK, WHOLE).rejected == len(still_bad)
    assert write_part(output, SINK, again(output, [])) == read_result(output, SINK, WHOLE)
    assert ids(output) == list(range(ROWS))


@pytest.mark.parametrize("lost", [DATA, REJECTED])
def test_a_chunk_that_another_attempt_has_changed_is_scored_as_a_whole(output: Storage, lost: str) -> None:
    output.delete(lost)
    read = scored([None] * ROWS)
    assert only_rejected(output, SINK, WHOLE, read).equals(read)


def test_rejected_rows_of_a_part_with_other_rows_are_not_trusted(output: Storage) -> None:
    output.write(DATA, SINK.encoded(SINK.decoded(output.read(DATA)).slice(1)))
    assert only_rejected(output, SINK, WHOLE, scored([None] * ROWS)).num_rows == ROWS
    output.write(rejected_path(WHOLE), b"PAR1")
    with pytest.raises(OutputError, match=r"rejected/part-.* is not a whole Parquet file"):
        only_rejected(output, SINK, WHOLE, scored([None] * ROWS))


def test_the_travelling_columns_are_those_of_a_whole_chunk(output: Storage) -> None:
    assert again(output, []).column_names == scored(BAD).column_names
    assert {CHUNK, PART, ROW, STAGE, ERROR, REASON} <= set(scored(BAD).column_names)
