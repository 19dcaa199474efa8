from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ray_pipeline.chunk import REASON, Chunk, Piece
from ray_pipeline.errors import InputError
from ray_pipeline.plan import Plan, grouped_chunks, make_plan
from ray_pipeline.sources.chunks import read_chunk
from ray_pipeline.spec import JobSpec
from triton_models.storage import open_storage


def spec(folder: Path, *, pattern: str = "*.parquet", keep: tuple[str, ...] = ("id",)) -> JobSpec:
    return JobSpec.model_validate(
        {
            "input": {"uri": f"{folder}/{pattern}", "keep": keep, "rows_per_chunk": 4},
            "models": [{"name": "m", "inputs": {"text": "body"}, "outputs": {"y": "y"}}],
            "output": {"uri": "out"},
            "triton": {"url": "localhost:8001"},
        }
    )


def write(folder: Path, name: str, rows: int, id_type: pa.DataType | None = None, **more: object) -> None:
    columns = {"id": pa.array(range(rows), id_type or pa.int64()), "body": pa.array(["text"] * rows, pa.string())}
    pq.write_table(pa.table({**columns, **more}), folder / name)


def test_every_row_of_the_input_is_in_one_chunk(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 10)
    write(tmp_path, "b.parquet", 3)
    plan = make_plan(spec(tmp_path))
    pieces = [piece for chunk in plan.chunks for piece in chunk.pieces]
    assert len(pieces) == len(plan.chunks)
    assert [(piece.path, piece.first_row, piece.rows) for piece in pieces] == [
        ("a.parquet", 0, 4),
        ("a.parquet", 4, 4),
        ("a.parquet", 8, 2),
        ("b.parquet", 0, 3),
    ]
    assert (plan.rows, plan.folder) == (13, str(tmp_path))
    assert plan.schema.names == ["id", "body"]


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "body": "x"}\n' * 9)
    plan = make_plan(spec(tmp_path, pattern="a.jsonl"))
    assert Plan.from_bytes(plan.to_bytes()) == plan
    assert plan.chunks[1].pieces[0].first_byte > 0


def test_the_same_input_is_planned_the_same_way(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 10)
    assert make_plan(spec(tmp_path)) == make_plan(spec(tmp_path))


def test_an_object_that_is_added_does_not_move_the_others(tmp_path: Path) -> None:
    write(tmp_path, "b.parquet", 10)
    before = make_plan(spec(tmp_path)).chunks
    write(tmp_path, "a.parquet", 3)
    assert set(before) < set(make_plan(spec(tmp_path)).chunks)


def test_a_missing_column_lists_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 1, title=["t"])
    with pytest.raises(InputError, match=r"a\.parquet has no column 'idd'; its columns are id, body, title"):
        make_plan(spec(tmp_path, keep=("idd",)))


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = pa.table([pa.array([1]), pa.array([2]), pa.array(["x"])], names=["id", "id", "body"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet has several columns 'id'"):
        make_plan(spec(tmp_path))


def test_a_column_with_the_name_of_an_internal_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 1, __rayton_row=[1])
    job = spec(tmp_path).model_dump()
    job["models"][0]["inputs"]["text"] = "__rayton_row"
    with pytest.raises(InputError, match="'__rayton_row' cannot be used"):
        make_plan(JobSpec.model_validate(job))


def test_types_that_differ_become_the_widest(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 1, pa.int32())
    write(tmp_path, "b.parquet", 1, pa.int64())
    assert make_plan(spec(tmp_path)).schema.field("id").type == pa.int64()


def test_types_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 1)
    write(tmp_path, "b.parquet", 0)
    pq.write_table(pa.table({"id": ["one"], "body": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"types in different objects that do not go together: .*id"):
        make_plan(spec(tmp_path))


def test_an_empty_object_among_others_does_not_matter(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 2)
    pq.write_table(pa.table({}), tmp_path / "b.parquet")
    assert make_plan(spec(tmp_path)).rows == 2


def test_an_input_without_rows_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a.parquet", 0)
    with pytest.raises(InputError, match=r"its 1 objects hold no rows"):
        make_plan(spec(tmp_path))


def test_a_column_that_is_null_at_the_beginning_is_read_as_text(tmp_path: Path) -> None:
    lines = [*['{"id": 1, "body": null}'] * 1000, '{"id": 2, "body": "late"}']
    (tmp_path / "late.jsonl").write_text("\n".join(lines))
    plan = make_plan(spec(tmp_path, pattern="*.jsonl"))
    assert plan.schema.field("body").type == pa.string()


def pieces_of(number: int, rows: int, rows_per_chunk: int) -> tuple[Piece, ...]:
    firsts = range(0, rows, rows_per_chunk)
    return tuple(Piece(f"{number}", "s", min(rows_per_chunk, rows - first), first) for first in firsts)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), max_size=20), st.integers(1, 12))
def test_small_objects_go_together_up_to_rows_and_bytes(objects: list[tuple[int, int]], rows_per_chunk: int) -> None:
    sized = [(size, pieces_of(number, rows, rows_per_chunk)) for number, (rows, size) in enumerate(objects)]
    chunks = list(grouped_chunks(sized, rows_per_chunk, bytes_per_group=100))
    whole = [piece for _, pieces in sized for piece in pieces]
    assert sorted((piece for chunk in chunks for piece in chunk.pieces), key=str) == sorted(whole, key=str)
    sizes = {pieces[0].path: size for size, pieces in sized if pieces}
    single = {pieces[0].path for _, pieces in sized if len(pieces) == 1}
    for chunk in chunks:
        assert chunk.rows <= rows_per_chunk
        if len(chunk.pieces) > 1:
            assert single >= {piece.path for piece in chunk.pieces}
            assert sum(sizes[piece.path] for piece in chunk.pieces) <= 100
    groups = [chunk for chunk in chunks if chunk.pieces[0].path in single]
    for one, following in pairwise(groups):
        more = one.rows + following.pieces[0].rows > rows_per_chunk
        larger = sum(sizes[piece.path] for piece in (*one.pieces, following.pieces[0])) > 100
        assert more or larger


def test_a_large_object_between_small_ones_is_cut_alone() -> None:
    small, large, other = pieces_of(1, 2, 4), pieces_of(2, 9, 4), pieces_of(3, 2, 4)
    chunks = list(grouped_chunks([(1, small), (1, large), (1, other), (1, ())], 4))
    assert set(chunks) == {*(Chunk((piece,)) for piece in large), Chunk((*small, *other))}


def test_an_object_of_more_bytes_than_a_group_may_have_is_a_chunk_of_its_own() -> None:
    pieces = [pieces_of(number, 1, 4) for number in range(3)]
    chunks = list(grouped_chunks([(1, pieces[0]), (101, pieces[1]), (1, pieces[2])], 4, bytes_per_group=100))
    assert chunks == [Chunk(piece) for piece in pieces]


def test_small_files_are_planned_together(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path, f"{number}.parquet", 2)
    plan = make_plan(spec(tmp_path))
    assert [[piece.path for piece in chunk.pieces] for chunk in plan.chunks] == [
        ["0.parquet", "1.parquet"],
        ["2.parquet", "3.parquet"],
        ["4.parquet"],
    ]
    assert plan.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_plan_of_groups_is_read_as_it_was_written() -> None:
    pieces = [pieces_of(number, 1, 4)[0] for number in range(4)]
    chunks = (Chunk((pieces[0],)), Chunk((pieces[1], pieces[2])), Chunk((pieces[3],)))
    for schema in (pa.schema([]), pa.schema([("x", pa.list_(pa.float32(), 3))])):
        plan = Plan("s3://bucket/\u00e4 folder", schema, chunks, 2**40)
        assert Plan.from_bytes(plan.to_bytes()) == plan
    assert Plan.from_bytes(Plan("in", pa.schema([]), ()).to_bytes()) == Plan("in", pa.schema([]), ())


def test_keys_in_folders_are_columns(tmp_path: Path) -> None:
    for day in ("01", "02"):
        (tmp_path / f"day={day}" / "n=7").mkdir(parents=True)
        write(tmp_path, f"day={day}/n=7/a.parquet", 1, day=[2026])
    plan = make_plan(spec(tmp_path, pattern="**", keep=("id", "day", "n")))
    assert plan.schema.field("day").type == pa.string()
    assert plan.schema.field("n").type == pa.int64()


def test_an_object_outside_of_the_folders_has_the_column_itself_or_is_named(tmp_path: Path) -> None:
    (tmp_path / "day=1").mkdir()
    write(tmp_path, "day=1/a.parquet", 1)
    write(tmp_path, "b.parquet", 1, day=pa.array([2], pa.int32()))
    job = spec(tmp_path, pattern="**", keep=("day",))
    plan = make_plan(job)
    assert plan.schema.field("day").type == pa.int64()
    storage = open_storage(str(tmp_path))
    rows = [read_chunk(storage, chunk, plan.schema)["day"].to_pylist() for chunk in plan.chunks]
    assert rows == [[2, 1]]
    write(tmp_path, "c.parquet", 1)
    with pytest.raises(InputError, match=r"c\.parquet has no column 'day'"):
        make_plan(job)


def test_a_key_that_is_no_number_beside_a_column_of_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "day=today").mkdir()
    write(tmp_path, "day=today/a.parquet", 1)
    write(tmp_path, "b.parquet", 1, day=[2])
    with pytest.raises(InputError, match="do not go together"):
        make_plan(spec(tmp_path, pattern="**", keep=("day",)))


@pytest.mark.parametrize(("other", "found"), [("0.5", [None, 0.5]), ("seven", ["", "seven"]), ("", ["", ""])])
def test_a_column_of_empty_fields_has_the_type_of_the_other_objects(
    tmp_path: Path, other: str, found: list[object]
) -> None:
    (tmp_path / "a.csv").write_text("id,body\n,x\n")
    (tmp_path / "b.csv").write_text(f"id,body\n{other},x\n")
    plan = make_plan(spec(tmp_path, pattern="*.csv"))
    (chunk,) = plan.chunks
    table = read_chunk(open_storage(str(tmp_path)), chunk, plan.schema)
    assert table["id"].to_pylist() == found
    assert table[REASON].null_count == 2


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("1", "0.5", [1.0, 0.5]),
        ("1", "seven", ["1", "seven"]),
        ("0.50", "seven", ["0.50", "seven"]),
        ("12345678901234567", "0.5", [None, 0.5]),
    ],
)
def test_a_column_of_numbers_in_one_csv_and_of_others_in_another_is_read_as_both(
    tmp_path: Path, one: str, other: str, found: list[object]
) -> None:
    (tmp_path / "a.csv").write_text(f"id,body\n{one},x\n")
    (tmp_path / "b.csv").write_text(f"id,body\n{other},x\n")
    plan = make_plan(spec(tmp_path, pattern="*.csv"))
    (chunk,) = plan.chunks
    table = read_chunk(open_storage(str(tmp_path)), chunk, plan.schema)
    assert table["id"].to_pylist() == found
    # A number whose digits a float would change is no float.
    assert table[REASON].to_pylist() == [None if found[0] else "column 'id': '12345678901234567' is not double", None]


def test_numbers_and_texts_of_json_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "body": "x"}\n')
    (tmp_path / "b.jsonl").write_text('{"id": "seven", "body": "x"}\n')
    with pytest.raises(InputError, match="do not go together"):
        make_plan(spec(tmp_path, pattern="*.jsonl"))
