from __future__ import annotations

from pathlib import Path

import pytest

from ray_pipeline.errors import OutputError
from ray_pipeline.output import parts
from ray_pipeline.output.left import Left, what_is_left
from tests.support.committed import CHUNKS, PLAN, REJECTED, CommittedJob
from triton_models.storage import open_storage

AGAIN = {CHUNKS[REJECTED].id: 1}


@pytest.fixture
def job(tmp_path: Path) -> CommittedJob:
    return CommittedJob(open_storage(str(tmp_path)))


def left(job: CommittedJob, *, retry_rejected: bool) -> Left:
    there = parts.committed(job.output, job.sink)
    return what_is_left(job.output, job.sink, PLAN, there, retry_rejected=retry_rejected)


@pytest.mark.parametrize("retry_rejected", [False, True])
def test_at_first_everything_is_left(job: CommittedJob, retry_rejected: bool) -> None:
    found = left(job, retry_rejected=retry_rejected)
    assert found == Left(CHUNKS)
    assert found.rows == 10


def test_rejected_rows_are_left_only_where_they_are_wanted_again(job: CommittedJob) -> None:
    job.commit([0, REJECTED])
    assert left(job, retry_rejected=False) == Left(CHUNKS[2:], 2, {}, 1)
    found = left(job, retry_rejected=True)
    assert found == Left(CHUNKS[1:], 2, AGAIN, 0)
    assert found.rows == 1 + 2


def test_what_no_ledger_knows_is_counted(job: CommittedJob) -> None:
    job.commit([REJECTED])
    for page in job.output.at("_ledger").objects():
        job.output.delete(f"_ledger/{page.path}")
    assert left(job, retry_rejected=True).again == AGAIN


def test_a_rejected_part_beside_a_whole_data_part_names_no_rejected_row(job: CommittedJob) -> None:
    job.complete()
    job.output.copy(job.rejected(REJECTED), job.rejected(0))
    assert left(job, retry_rejected=True) == Left(CHUNKS[1:2], 3, AGAIN, 0)


def test_a_rejected_part_without_a_data_part_says_nothing(job: CommittedJob) -> None:
    job.complete()
    job.output.delete(job.data(REJECTED))
    for retry_rejected in (False, True):
        assert left(job, retry_rejected=retry_rejected) == Left(CHUNKS[1:2], 2, {}, 0)


def test_parts_that_do_not_hold_the_rows_of_their_chunk_are_told(job: CommittedJob) -> None:
    job.begin()
    job.commit([REJECTED])
    job.output.write(
        job.data(REJECTED), job.sink.encoded(job.sink.decoded(job.output.read(job.data(REJECTED))).slice(1))
    )
    with pytest.raises(OutputError, match=r"2 scored \+ 1 rejected rows are not the 4 rows of"):
        left(job, retry_rejected=True)
