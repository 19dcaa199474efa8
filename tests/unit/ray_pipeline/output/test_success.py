from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import OutputError
from ray_pipeline.output.ledger import Ledger
from ray_pipeline.output.success import Totals, finish, read_manifest, read_success, withdraw
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.sinks.part import PartResult, write_part
from tests.support.chunks import chunk_of_rows, read_table
from triton_models.storage import Storage, open_storage

SINK = SINKS["parquet"]
CHUNKS = (chunk_of_rows(4), chunk_of_rows(4, first_row=4), chunk_of_rows(2, first_row=8))
PLAN = Plan("in", pa.schema([("id", pa.int64())]), CHUNKS)
DATA = [f"data/{chunk.part}.parquet" for chunk in CHUNKS]


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def commit(output: Storage, number: int, reasons: list[str | None] | None = None) -> PartResult:
    return commit_chunk(output, CHUNKS[number], reasons)


def commit_chunk(output: Storage, chunk: Chunk, reasons: list[str | None] | None = None) -> PartResult:
    (piece,) = chunk.pieces
    return write_part(output, SINK, read_table({"id": list(range(chunk.rows))}, piece.first_row, reasons, piece.path))


def test_a_complete_job_is_counted_and_says_so(output: Storage) -> None:
    assert read_success(output) is None
    earlier, now = commit(output, 0), [commit(output, 1, ["bad", None, None, "bad"]), commit(output, 2)]
    totals = finish(output, SINK, PLAN, now)
    assert totals == Totals(rows=10, scored=8, rejected=2, parts=3) == read_success(output)
    assert list(read_manifest(output)) == [chunk.id for chunk in CHUNKS]
    assert list(read_manifest(output).values()) == [earlier, *now]
    assert json.loads(output.read("_SUCCESS"))["totals"]["scored"] == 8


def test_a_job_that_goes_on_is_no_longer_complete(output: Storage) -> None:
    finish(output, SINK, PLAN, [commit(output, number) for number in range(3)])
    withdraw(output)
    assert read_success(output) is None
    with pytest.raises(OutputError, match="has no _SUCCESS: its job is not complete; run it again"):
        read_manifest(output)


def test_a_missing_part_is_named_and_there_is_no_success(output: Storage) -> None:
    results = [commit(output, 0), commit(output, 2)]
    with pytest.raises(OutputError, match=r"lacks 1 parts, the first of a\.parquet rows 4-7; run the job again"):
        finish(output, SINK, PLAN, results)
    assert read_success(output) is None


def test_a_result_without_its_part_does_not_count(output: Storage) -> None:
    results = [commit(output, number) for number in range(3)]
    output.delete(DATA[0])
    with pytest.raises(OutputError, match="lacks 1 parts"):
        finish(output, SINK, PLAN, results)


def test_rows_that_do_not_add_up_are_an_error(output: Storage) -> None:
    results = [commit(output, number) for number in range(3)]
    results[1] = replace(results[1], scored=3)
    with pytest.raises(OutputError, match=r"3 scored \+ 0 rejected are not the 4 rows of a\.parquet rows 4-7"):
        finish(output, SINK, PLAN, results)
    assert read_success(output) is None


def test_a_broken_part_of_an_earlier_run_is_an_error(output: Storage) -> None:
    for number in range(3):
        commit(output, number)
    output.write(DATA[1], b"not parquet")
    with pytest.raises(OutputError, match=rf"{DATA[1]} is not a whole Parquet file .*; delete it and run again"):
        finish(output, SINK, PLAN, [])
    assert read_success(output) is None


def test_a_part_that_the_ledger_knows_is_not_read_and_one_of_another_size_is(output: Storage) -> None:
    results = [commit(output, number) for number in range(3)]
    list(Ledger(output).noted(iter(results)))
    size = results[1].bytes
    output.write(DATA[1], b"x" * size)
    assert finish(output, SINK, PLAN, []).rows == 10
    output.write(DATA[1], b"x" * (size - 1))
    with pytest.raises(OutputError, match=f"{DATA[1]} is not a whole Parquet file"):
        finish(output, SINK, PLAN, [])


def test_a_lost_rejected_part_is_an_error(output: Storage) -> None:
    results = [commit(output, 0, ["bad", None, None, None]), commit(output, 1), commit(output, 2)]
    output.delete(f"rejected/{CHUNKS[0].part}.parquet")
    with pytest.raises(
        OutputError,
        match=rf"rejected/{CHUNKS[0].part}\.parquet is missing; delete the part of this name in data/ and run again",
    ):
        finish(output, SINK, PLAN, results)
    assert read_success(output) is None


def test_a_rejected_part_that_a_dead_attempt_left_is_removed(output: Storage) -> None:
    commit(output, 0, ["bad"] * 4)
    results = [commit(output, number) for number in range(3)]
    assert output.stat(f"rejected/{CHUNKS[0].part}.parquet") is not None
    assert finish(output, SINK, PLAN, results).rejected == 0
    assert output.stat(f"rejected/{CHUNKS[0].part}.parquet") is None


def test_a_part_that_a_dead_run_wrote_late_for_a_chunk_no_longer_planned_is_removed(output: Storage) -> None:
    late = commit_chunk(output, chunk_of_rows(4, path="changed.parquet"), ["bad", None, None, None])
    finish(output, SINK, PLAN, [commit(output, number) for number in range(3)])
    assert [one.path for one in output.objects() if late.chunk in one.path] == []
