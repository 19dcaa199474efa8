from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.errors import InputError
from ray_pipeline.plan import Plan, make_plan
from ray_pipeline.spec import JobSpec


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
