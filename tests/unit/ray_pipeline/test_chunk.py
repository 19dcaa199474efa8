from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from ray_pipeline.chunk import Chunk, Piece, chunk_of
from ray_pipeline.errors import OutputError
from tests.support.chunks import chunk_of_rows, read_table

PIECE = Piece("folder/a.parquet", "120-99", 100, first_row=4096)
CHUNK = Chunk((PIECE,))
GROUP = Chunk((Piece("a.jpg", "1", 1), Piece("b.parquet", "2", 3), Piece("c.jpg", "3", 1)))


def table(rows: int = 4, first_row: int = 0) -> pa.Table:
    return read_table({"x": list(range(rows))}, first_row)


def test_the_name_of_a_part_never_changes() -> None:
    assert CHUNK.part == "part-baf36901b610b13d99408515566e2fed"


@pytest.mark.parametrize(
    "other",
    [
        Chunk((replace(PIECE, path="folder/b.parquet"),)),
        Chunk((replace(PIECE, stamp="120-100"),)),
        Chunk((replace(PIECE, first_row=0),)),
        Chunk((replace(PIECE, rows=99),)),
        Chunk((PIECE, PIECE)),
    ],
)
def test_chunks_that_hold_something_else_have_other_ids(other: Chunk) -> None:
    assert other.id != CHUNK.id


def test_a_whole_chunk_is_known_by_its_table() -> None:
    assert chunk_of(table(4, first_row=8)) == chunk_of_rows(4, first_row=8)
    assert chunk_of(table(1)) == chunk_of_rows(1)


def test_a_chunk_in_several_pieces_is_whole() -> None:
    whole = table(4)
    assert chunk_of(pa.concat_tables([whole.slice(0, 1), whole.slice(1)])) == chunk_of_rows(4)


@pytest.mark.parametrize(
    "broken",
    [
        table(4).slice(0, 3),
        table(4).slice(1),
        table(4).slice(0, 0),
        pa.concat_tables([table(4), table(4, first_row=4)]),
        pa.concat_tables([table(4), table(4)]),
        table(4).take(pa.array([0, 2, 1, 3])),
        table(4).take(pa.array([1, 0, 2, 3])),
        table(4).take(pa.array([0, 1, 2, 2])),
    ],
    ids=["end lost", "begin lost", "empty", "merged", "doubled", "reordered", "mark not first", "row doubled"],
)
def test_a_table_that_is_not_exactly_one_chunk_is_refused(broken: pa.Table) -> None:
    with pytest.raises(OutputError, match="not committed"):
        chunk_of(broken)


def test_a_chunk_shows_its_rows_to_people() -> None:
    assert str(CHUNK) == "folder/a.parquet rows 4096-4195"


def test_a_group_of_objects_shows_the_first_to_people() -> None:
    assert str(GROUP) == "a.jpg and 2 more objects, 5 rows"


def test_each_row_knows_the_object_it_is_from_and_its_number_there() -> None:
    assert CHUNK.origins([0, 99]) == [("folder/a.parquet", 4096), ("folder/a.parquet", 4195)]
    assert GROUP.origins(range(5)) == [("a.jpg", 0), ("b.parquet", 0), ("b.parquet", 1), ("b.parquet", 2), ("c.jpg", 0)]
