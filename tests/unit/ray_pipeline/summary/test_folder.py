from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ray_pipeline.errors import OutputError
from ray_pipeline.output.lock import locked
from ray_pipeline.summary.folder import MOST_EXAMPLES, RejectedRow, read_job, rejects_of
from ray_pipeline.summary.recorded import Counted
from ray_pipeline.telemetry.record import Record, Run
from tests.support.committed import CommittedJob
from tests.support.pages import committed
from triton_models.storage import open_storage


@pytest.fixture
def job(tmp_path: Path) -> CommittedJob:
    return CommittedJob(open_storage(str(tmp_path / "my output")))


def recorded(job: CommittedJob, numbers: list[int]) -> Record:
    """Commits chunks and notes them in a record that is not closed."""
    record = Record(job.output, Run.begun(("10.0.0.1",)), now=lambda: 0.0)
    for part in job.commit(numbers):
        rejections = {"read: NotJson": part.rejected} if part.rejected else {}
        record.take(replace(committed(part.chunk, rejections=rejections), part=part))
    return record


def test_a_complete_job_agrees_with_its_record(job: CommittedJob) -> None:
    job.begin()
    recorded(job, [0, 1, 2]).close(None)
    job.complete()
    seen = read_job(job.output.uri, None)
    assert seen.there == seen.told == Counted(3, 9, 1)
    assert seen.progress.bytes_done == sum(one.size for one in job.output.at("data").objects())
    assert seen.name == "my-output"
    (kind,) = seen.rejects
    assert (kind.kind, kind.rows) == ("read: NotJson", 1)
    assert kind.examples == [RejectedRow("a.parquet", 4, "bad")]


def test_a_job_that_was_killed_has_lost_its_last_page(job: CommittedJob) -> None:
    job.begin()
    recorded(job, [0, 1])
    seen = read_job(job.output.uri, None)
    assert (seen.there, seen.told) == (Counted(2, 7, 1), Counted(0, 0, 0))
    assert not seen.progress.is_running
    assert [one.over for one in seen.recorded.runs] == [False]


def test_a_job_that_runs(job: CommittedJob) -> None:
    job.begin()
    with locked(job.output):
        recorded(job, [0])
        assert read_job(job.output.uri, None).progress.is_running


def test_a_folder_without_a_record_tells_what_its_parts_tell(job: CommittedJob) -> None:
    job.complete()
    seen = read_job(job.output.uri, None)
    assert (seen.recorded.runs, seen.told.parts, seen.rejected_parts) == ([], 0, 1)
    assert [(kind.kind, kind.rows) for kind in seen.rejects] == [("read: NotJson", 1)]


def test_a_folder_that_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"is not the output of a job: it has no _job\.json and _plan\.parquet"):
        read_job(str(tmp_path), None)


def test_a_page_that_is_none_is_named(job: CommittedJob) -> None:
    job.complete()
    job.output.write("_record/00-000000.json", b"{}")
    with pytest.raises(OutputError, match=r"00-000000\.json is no page of a record"):
        read_job(job.output.uri, None)


def test_rejects_are_told_by_kind_with_few_examples_of_each() -> None:
    rows = [("read: NotJson", RejectedRow("a", row, "bad")) for row in range(10)]
    rows.append(("score: Refused", RejectedRow("b", 1, "no")))
    found = rejects_of(Counter({"read: NotJson": 500, "prepare: TooLong": 700}), rows)
    assert [(kind.kind, kind.rows, len(kind.examples)) for kind in found] == [
        ("prepare: TooLong", 700, 0),
        ("read: NotJson", 500, MOST_EXAMPLES),
        ("score: Refused", 1, 1),
    ]
