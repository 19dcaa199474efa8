from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ray_pipeline.chunk import Chunk
from ray_pipeline.errors import OutputError
from ray_pipeline.job import Again, _bearable, _begin, _check_bearable
from ray_pipeline.output import parts
from ray_pipeline.output.claim import read_plan
from ray_pipeline.output.ledger import known
from ray_pipeline.output.left import Left
from ray_pipeline.output.success import read_success
from ray_pipeline.sinks.part import PartResult
from ray_pipeline.spec import JobSpec
from tests.support.committed import CHUNKS, PLAN, REJECTED, CommittedJob
from triton_models.storage import open_storage


@pytest.fixture
def job(tmp_path: Path) -> CommittedJob:
    return CommittedJob(open_storage(str(tmp_path / "out")))


def spec(max_rejected: float = 1.0) -> JobSpec:
    return JobSpec.model_validate(
        {
            "input": {"uri": "in"},
            "models": [{"name": "words", "inputs": {"text": "body"}, "outputs": {"y": "y"}}],
            "output": {"uri": "out", "max_rejected": max_rejected},
            "triton": {"url": "localhost:8001"},
        }
    )


def done(job: CommittedJob) -> set[str]:
    return set(parts.committed(job.output, job.sink))


def ids(*chunks: Chunk) -> set[str]:
    return {chunk.id for chunk in chunks}


def test_a_run_that_goes_on_keeps_what_is_committed_and_is_not_complete(job: CommittedJob) -> None:
    job.complete()
    _begin(spec(), job.output, PLAN, PLAN, Again())
    assert done(job) == ids(*CHUNKS)
    assert read_success(job.output) is None


def test_a_new_plan_takes_the_place_of_the_old_one_and_of_its_parts(job: CommittedJob) -> None:
    job.complete()
    fresh = replace(PLAN, chunks=CHUNKS[1:])
    _begin(spec(), job.output, PLAN, fresh, Again(rescore_changed=True))
    assert read_plan(job.output) == fresh
    assert done(job) == ids(*CHUNKS[1:])


def test_rejected_rows_are_scored_again_where_that_is_wanted_and_stay_committed_until_then(job: CommittedJob) -> None:
    job.complete()
    there = parts.committed(job.output, job.sink)
    assert _begin(spec(), job.output, PLAN, PLAN, Again()) == Left((), 3, {}, 1)
    assert CHUNKS[REJECTED].id in known(job.output, there)
    left = _begin(spec(), job.output, PLAN, PLAN, Again(retry_rejected=True))
    assert left == Left((CHUNKS[REJECTED],), 3, {CHUNKS[REJECTED].id: 1}, 0)
    assert done(job) == ids(*CHUNKS)
    assert known(job.output, there).keys() == ids(*CHUNKS) - {CHUNKS[REJECTED].id}


def test_a_run_whose_plan_was_replaced_meanwhile_removes_nothing(job: CommittedJob) -> None:
    job.complete()
    before = job.output.objects(hidden=True)
    for kept in (None, replace(PLAN, chunks=CHUNKS[1:])):
        with pytest.raises(OutputError, match="another run has planned anew since this one began; run again"):
            _begin(spec(), job.output, kept, replace(PLAN, chunks=CHUNKS[1:]), Again())
    assert job.output.objects(hidden=True) == before


def test_more_rejected_rows_than_a_job_bears_end_it(job: CommittedJob) -> None:
    results = [PartResult(chunk.id, chunk.rows - 1, 1, 7, "") for chunk in CHUNKS]
    assert list(_bearable(iter(results), spec(0.3), PLAN, 0)) == results
    with pytest.raises(OutputError, match=r"3 of 10 rows are rejected, more than output\.max_rejected = 0\.2 allows"):
        list(_bearable(iter(results), spec(0.2), PLAN, 0))


def test_rows_that_earlier_runs_have_rejected_count_too(job: CommittedJob) -> None:
    job.begin()
    job.commit([0, REJECTED])
    left = _begin(spec(), job.output, PLAN, PLAN, Again())
    assert (left.chunks, left.committed, left.rejected) == (CHUNKS[2:], 2, 1)
    last = PartResult(CHUNKS[2].id, 1, 1, 7, "")
    assert list(_bearable(iter([last]), spec(0.2), PLAN, left.rejected)) == [last]
    with pytest.raises(OutputError, match=r"2 of 10 rows are rejected, more than output\.max_rejected = 0\.1 allows"):
        list(_bearable(iter([last]), spec(0.1), PLAN, left.rejected))
    with pytest.raises(OutputError, match=r"1 of 10 rows are rejected, more than output\.max_rejected = 0\.05 allows"):
        _check_bearable(left.rejected, spec(0.05), PLAN)
