from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ray_pipeline.errors import OutputError
from ray_pipeline.output.claim import check_claim, claim, read_claim, read_plan, write_plan
from ray_pipeline.plan import Plan
from tests.support.chunks import chunk_of_rows
from triton_models.storage import Storage, open_storage

PLAN = Plan("in", pa.schema([("id", pa.int64())]), (chunk_of_rows(4), chunk_of_rows(2, first_row=4)), 77)
JOB = {"format": 1, "input": {"uri": "in", "keep": ["id"]}, "models": [{"name": "m", "version": 1}]}


@pytest.fixture
def output(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path))


def test_a_free_folder_becomes_the_jobs_own(output: Storage) -> None:
    assert read_claim(output) is None
    claim(output, JOB)
    assert read_claim(output) == JOB
    claim(output, JOB)
    check_claim(output, JOB, JOB)


def test_a_folder_of_other_files_is_left_alone(output: Storage) -> None:
    output.write("thesis.tex", b"years of work")
    with pytest.raises(OutputError, match=r"holds other files \(thesis\.tex\) and no _job\.json"):
        claim(output, JOB)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_a_claim_that_cannot_be_read_is_an_error(output: Storage, content: bytes) -> None:
    output.write("_job.json", content)
    with pytest.raises(OutputError, match=r"_job\.json is not readable"):
        read_claim(output)


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
    claim(output, JOB)
    with pytest.raises(OutputError, match="belongs to another job; it differs in:") as refusal:
        claim(output, JOB | change)
    assert [one.strip() for one in str(refusal.value).splitlines()[1:-1]] == [line]
    assert read_claim(output) == JOB


def test_a_plan_is_kept_for_the_runs_to_come(output: Storage) -> None:
    assert read_plan(output) is None
    write_plan(output, PLAN)
    assert read_plan(output) == PLAN
