from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ray_pipeline import output as outputs
from ray_pipeline.errors import OutputError
from ray_pipeline.output import Totals
from ray_pipeline.plan import Plan
from ray_pipeline.sinks.parquet import PartResult, write_part
from tests.support.chunks import chunk_of_rows, read_table
from triton_models.storage import Storage, open_storage

CHUNKS = (chunk_of_rows(4), chunk_of_rows(4, first_row=4), chunk_of_rows(2, first_row=8))
PLAN = Plan("in", pa.schema([("id", pa.int64())]), CHUNKS)
JOB = {"format": 1, "input": {"uri": "in", "keep": ["id"]}, "models": [{"name": "m", "version": 1}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def output(folder: Path) -> Storage:
    return open_storage(str(folder))


def commit(output: Storage, number: int, reasons: list[str | None] | None = None) -> PartResult:
    chunk = CHUNKS[number]
    return write_part(output, read_table({"id": list(range(chunk.rows))}, chunk.first_row, reasons))


def test_a_free_folder_becomes_the_jobs_own(output: Storage) -> None:
    assert outputs.read_claim(output) is None
    outputs.claim(output, JOB)
    assert outputs.read_claim(output) == JOB
    outputs.claim(output, JOB)


def test_a_folder_of_other_files_is_left_alone(output: Storage) -> None:
    output.write("thesis.tex", b"years of work")
    with pytest.raises(OutputError, match=r"holds other files \(thesis\.tex\) and no _job\.json"):
        outputs.claim(output, JOB)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_a_claim_that_cannot_be_read_is_an_error(output: Storage, content: bytes) -> None:
    output.write("_job.json", content)
    with pytest.raises(OutputError, match=r"_job\.json is not readable"):
        outputs.read_claim(output)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"format": 2}, "format: there 1, here 2"),
        ({"input": {"uri": "other", "keep": ["id"]}}, 'input.uri: there "in", here "other"'),
        ({"input": {"uri": "in", "keep": []}}, 'input.keep: there ["id"], here []'),
        ({"input": {"uri": "in", "keep": ["id"], "new": 3}}, "input.new: there null, here 3"),
        ({"models": []}, 'models: there [{"name": "m", "version": 1}], here []'),
    ],
)
def test_the_folder_of_another_job_is_refused_with_what_differs(
    output: Storage, change: dict[str, Any], line: str
) -> None:
    outputs.claim(output, JOB)
    with pytest.raises(OutputError, match="belongs to another job; it differs in:") as refusal:
        outputs.claim(output, JOB | change)
    assert [one.strip() for one in str(refusal.value).splitlines()[1:-1]] == [line]
    assert outputs.read_claim(output) == JOB


def test_a_plan_is_kept_for_the_runs_to_come(output: Storage) -> None:
    assert outputs.read_plan(output) is None
    outputs.write_plan(output, PLAN)
    assert outputs.read_plan(output) == PLAN


def test_what_is_committed_is_what_has_a_data_part(output: Storage, folder: Path) -> None:
    assert outputs.committed(output) == set()
    commit(output, 0)
    output.write(f"rejected/{CHUNKS[1].part}", b"half of a chunk")
    assert outputs.committed(output) == {CHUNKS[0].part}


def test_half_written_files_of_a_killed_run_are_removed(output: Storage, folder: Path) -> None:
    commit(output, 0)
    left = folder / "data" / f".{CHUNKS[1].part}.0123.tmp"
    left.write_bytes(b"half")
    hidden = folder / "data" / ".mine"
    hidden.write_bytes(b"kept")
    assert outputs.committed(output) == {CHUNKS[0].part}
    assert (left.exists(), hidden.exists()) == (False, True)


def test_a_complete_job_is_counted_and_says_so(output: Storage) -> None:
    assert outputs.read_success(output) is None
    earlier, now = commit(output, 0), [commit(output, 1, ["bad", None, None, "bad"]), commit(output, 2)]
    totals = outputs.finish(output, PLAN, now)
    assert totals == Totals(rows=10, scored=8, rejected=2, parts=3) == outputs.read_success(output)
    manifest = json.loads(output.read("_SUCCESS"))
    assert [part["part"] for part in manifest["parts"]] == [chunk.part for chunk in CHUNKS]
    assert manifest["parts"][0]["scored"] == earlier.scored


def test_a_missing_part_is_named_and_there_is_no_success(output: Storage) -> None:
    results = [commit(output, 0), commit(output, 2)]
    with pytest.raises(OutputError, match=r"lacks 1 parts, the first of a\.parquet rows 4-7; run the job again"):
        outputs.finish(output, PLAN, results)
    assert outputs.read_success(output) is None


def test_a_result_without_its_part_does_not_count(output: Storage) -> None:
    results = [commit(output, number) for number in range(3)]
    output.delete(f"data/{CHUNKS[0].part}")
    with pytest.raises(OutputError, match="lacks 1 parts"):
        outputs.finish(output, PLAN, results)


def test_rows_that_do_not_add_up_are_an_error(output: Storage) -> None:
    results = [commit(output, number) for number in range(3)]
    results[1] = replace(results[1], scored=3)
    with pytest.raises(OutputError, match=r"3 scored \+ 0 rejected are not the 4 rows of a\.parquet rows 4-7"):
        outputs.finish(output, PLAN, results)
    assert outputs.read_success(output) is None


def test_a_broken_part_of_an_earlier_run_is_an_error(output: Storage) -> None:
    for number in range(3):
        commit(output, number)
    output.write(f"data/{CHUNKS[1].part}", b"not parquet")
    with pytest.raises(OutputError, match=f"{CHUNKS[1].part} is not a whole part"):
        outputs.finish(output, PLAN, [])


def test_a_lost_rejected_part_is_an_error(output: Storage) -> None:
    results = [commit(output, 0, ["bad", None, None, None]), commit(output, 1), commit(output, 2)]
    output.delete(f"rejected/{CHUNKS[0].part}")
    with pytest.raises(OutputError, match=f"rejected/{CHUNKS[0].part} is missing; delete data/{CHUNKS[0].part}"):
        outputs.finish(output, PLAN, results)


def test_a_rejected_part_that_a_dead_attempt_left_is_removed(output: Storage) -> None:
    commit(output, 0, ["bad"] * 4)
    results = [commit(output, number) for number in range(3)]
    assert output.stat(f"rejected/{CHUNKS[0].part}") is not None
    assert outputs.finish(output, PLAN, results).rejected == 0
    assert output.stat(f"rejected/{CHUNKS[0].part}") is None
