from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.chunk import ROW, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.sources.parquet import Parquet
from tests.support.sources import object_at, own_columns, read_pieces, read_whole, survey_of
from triton_models.storage import Storage, open_storage

TABLE = pa.table({"id": pa.array(range(10), pa.int64()), "text": [f"text {row}" for row in range(10)]})


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return open_storage(str(tmp_path_factory.mktemp("parquet")))


def write_groups(storage: Storage, path: str, table: pa.Table, group_sizes: list[int]) -> None:
    assert storage.local is not None
    first = 0
    with pq.ParquetWriter(storage.local / path, table.schema) as writer:
        for size in group_sizes:
            writer.write_table(table.slice(first, size))
            first += size


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 100))
def test_chunks_cover_the_table_whatever_its_row_groups(
    storage: Storage, group_sizes: list[int], rows_per_chunk: int
) -> None:
    rows = sum(group_sizes)
    table = pa.table({"id": pa.array(range(rows), pa.int64()), "text": [f"text {row}" for row in range(rows)]})
    write_groups(storage, "random.parquet", table, group_sizes)
    read = read_whole(Parquet(), storage, "random.parquet", rows_per_chunk)
    assert own_columns(read).equals(table)
    assert read[ROW].to_pylist() == [row % rows_per_chunk for row in range(rows)]


def test_a_chunk_larger_than_what_is_read_at_once_is_whole(storage: Storage) -> None:
    table = pa.table({"id": pa.array(range(20_000), pa.int64())})
    write_groups(storage, "large.parquet", table, [20_000])
    assert own_columns(read_whole(Parquet(), storage, "large.parquet", 12_000)).equals(table)


def test_only_the_columns_that_are_asked_for_are_read_in_the_order_asked(storage: Storage) -> None:
    write_groups(storage, "columns.parquet", TABLE.append_column("other", TABLE["id"]), [4, 6])
    pieces = survey_of(Parquet(), storage, "columns.parquet").pieces
    schema = pa.schema([("text", pa.string()), ("id", pa.int64())])
    assert own_columns(read_pieces(storage, pieces, schema)).equals(TABLE.select(["text", "id"]))


def test_a_name_with_a_dot_is_not_a_member_of_a_nested_column(storage: Storage) -> None:
    both = pa.table({"a": [{"b": "member"}], "a.b": [7]})
    write_groups(storage, "dots.parquet", both, [1])
    pieces = survey_of(Parquet(), storage, "dots.parquet").pieces
    for name in ("a", "a.b"):
        read = read_pieces(storage, pieces, pa.schema([both.schema.field(name)]))
        assert own_columns(read).equals(both.select([name]))


def test_narrower_types_are_promoted_to_those_of_the_plan(storage: Storage) -> None:
    write_groups(storage, "narrow.parquet", pa.table({"id": pa.array([1, 2], pa.int32())}), [2])
    pieces = survey_of(Parquet(), storage, "narrow.parquet").pieces
    read = read_pieces(storage, pieces, pa.schema([("id", pa.int64())]))
    assert read["id"].type == pa.int64()


def test_a_file_of_another_tool_with_its_own_metadata_is_read(storage: Storage) -> None:
    field = pa.field("id", pa.int64(), metadata={"comment": "theirs"})
    table = pa.table([TABLE["id"]], pa.schema([field], metadata={"pandas": "{}"}))
    write_groups(storage, "metadata.parquet", table, [10])
    assert read_whole(Parquet(), storage, "metadata.parquet", 3)["id"].equals(TABLE["id"])


def test_repeated_texts_kept_as_a_dictionary_are_read(storage: Storage) -> None:
    table = pa.table({"kind": TABLE["text"].dictionary_encode()})
    write_groups(storage, "dictionary.parquet", table, [5, 5])
    read = read_whole(Parquet(), storage, "dictionary.parquet", 3)
    assert read["kind"].cast(pa.string()).to_pylist() == TABLE["text"].to_pylist()


def test_an_empty_file_has_columns_and_no_pieces(storage: Storage) -> None:
    write_groups(storage, "empty.parquet", TABLE.slice(0, 0), [])
    survey = survey_of(Parquet(), storage, "empty.parquet")
    assert (survey.schema.names, survey.pieces) == (["id", "text"], ())


def test_what_is_not_parquet_is_named(storage: Storage) -> None:
    storage.write("broken.parquet", b"PAR1 but nothing more")
    with pytest.raises(InputError, match=r"broken\.parquet cannot be read as Parquet"):
        survey_of(Parquet(), storage, "broken.parquet")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("gone.parquet", r"gone\.parquet is gone since the job was planned"),
        ("changed.parquet", r"changed\.parquet has changed since the job was planned"),
        ("short.parquet", "found 2 rows; the object changed after planning"),
    ],
)
def test_an_object_that_changed_after_planning_is_an_error(storage: Storage, path: str, told: str) -> None:
    write_groups(storage, "short.parquet", TABLE, [10])
    write_groups(storage, "changed.parquet", TABLE, [10])
    piece = Piece(path, object_at(storage, "short.parquet").stamp, 5, first_row=8)
    with pytest.raises(InputError, match=told):
        read_pieces(storage, (piece,), TABLE.schema)
