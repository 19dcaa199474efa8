from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from ray_pipeline.errors import OutputError
from ray_pipeline.output.fingerprint import fingerprint
from ray_pipeline.output.lock import locked
from ray_pipeline.output.steering import steer
from ray_pipeline.overview import Overview
from ray_pipeline.progress import planned, status, verify
from ray_pipeline.sinks.formats import SINKS
from ray_pipeline.spec import JobSpec
from tests.support.chunks import chunk_of_rows
from tests.support.committed import PLAN, CommittedJob
from triton_models.storage import open_storage


@pytest.fixture(params=SINKS)
def job(request: pytest.FixtureRequest, tmp_path: Path) -> CommittedJob:
    return CommittedJob(open_storage(str(tmp_path / "out")), request.param)


def faults(job: CommittedJob) -> list[str]:
    return [fault for _, fault in verify(job.output.uri, None) if fault is not None]


def verdict(job: CommittedJob) -> str:
    printed = StringIO()
    Overview(Console(file=printed, width=80), "out").verified(verify(job.output.uri, None))
    return printed.getvalue()


def told(job: CommittedJob) -> list[str]:
    printed = StringIO()
    Overview(Console(file=printed, width=80), "out").status(*status(job.output.uri, None))
    return printed.getvalue().splitlines()


def test_a_complete_job_is_verified(job: CommittedJob) -> None:
    job.complete()
    assert list(verify(job.output.uri, None)) == [(4, None), (4, None), (2, None)]
    assert verdict(job) == "out: 3 parts with 10 rows are there, unchanged, and add up\n"


def test_a_byte_that_changed_is_found_wherever_it_is(job: CommittedJob) -> None:
    job.complete()
    content = bytearray(job.output.read(job.data(0)))
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        job.output.write(job.data(0), bytes(changed))
        assert faults(job) == [f"{job.data(0)}: its content is not what was written (SHA-256)"]


def test_a_part_that_is_missing_is_found(job: CommittedJob) -> None:
    job.complete()
    job.output.delete(job.data(2))
    (fault,) = faults(job)
    assert fault.startswith(f"{job.data(2)}: {job.output.uri}/{job.data(2)} is gone")


def test_a_rejected_part_that_is_missing_or_broken_is_found(job: CommittedJob) -> None:
    job.complete()
    job.output.write(job.rejected(1), b"PAR1")
    (fault,) = faults(job)
    assert fault.startswith(f"{job.data(1)}: {job.output.uri}/{job.rejected(1)} is not a whole Parquet file")
    job.output.delete(job.rejected(1))
    assert faults(job) == [f"{job.data(1)}: 3 scored + 0 rejected, not 3 + 1 of 4"]


def test_a_rejected_part_too_many_is_found(job: CommittedJob) -> None:
    job.complete()
    job.output.write(job.rejected(0), job.output.read(job.rejected(1)))
    assert faults(job) == [f"{job.data(0)}: 4 scored + 1 rejected, not 4 + 0 of 4"]


def test_what_lies_beside_the_parts_is_found_since_readers_would_read_it(job: CommittedJob) -> None:
    job.complete()
    stranger = f"data/{chunk_of_rows(4, path='other').part}{job.sink.suffix}"
    job.output.write(stranger, job.output.read(job.data(0)))
    assert faults(job) == [f"{stranger}: is no part of this job"]


def test_a_manifest_that_does_not_know_a_chunk_or_has_other_counts_is_found(job: CommittedJob) -> None:
    job.complete()
    success = json.loads(job.output.read("_SUCCESS"))
    first = success["parts"].pop(0)
    job.output.write("_SUCCESS", json.dumps(success).encode())
    assert faults(job) == [f"{job.data(0)}: _SUCCESS does not know it"]
    success["parts"].append(first | {"scored": 3})
    job.output.write("_SUCCESS", json.dumps(success).encode())
    assert faults(job) == [f"{job.data(0)}: 4 scored + 0 rejected, not 3 + 0 of 4"]


def test_the_verdict_names_every_fault_and_what_to_do(job: CommittedJob) -> None:
    job.complete()
    job.output.delete(job.data(0), job.data(2))
    with pytest.raises(OutputError, match=r"out: 2 of 3 parts are not what the job wrote:") as refusal:
        verdict(job)
    assert job.data(0) in str(refusal.value)
    assert job.data(2) in str(refusal.value)
    assert "delete these parts and _SUCCESS, and run the job again" in str(refusal.value)


def test_a_job_that_is_not_complete_cannot_be_verified(job: CommittedJob) -> None:
    job.begin()
    job.commit([0, 1, 2])
    with pytest.raises(OutputError, match="has no _SUCCESS: its job is not complete; run it again"):
        faults(job)


def test_a_folder_without_a_job_is_refused(tmp_path: Path) -> None:
    for look in (status, lambda uri, endpoint: list(verify(uri, endpoint))):
        with pytest.raises(OutputError, match=r"is not the output of a job: it has no _job\.json and _plan\.parquet"):
            look(str(tmp_path), None)


def test_status_of_a_job_that_died_halfway(job: CommittedJob) -> None:
    job.begin()
    job.commit([0, 1])
    claim, progress = status(job.output.uri, None)
    assert claim["models"] == [{"name": "words", "version": 3}]
    assert (progress.chunks_done, progress.rows_done, progress.scored, progress.rejected) == (2, 8, 7, 1)
    assert not progress.is_complete
    assert told(job) == [
        "input   in: 10 rows in 3 chunks, 3.0 MB",
        "output  out",
        "model   words version 3",
        "done    2 chunks with 8 rows (80.0%)",
        "        7 scored + 1 rejected",
        "left    2 rows, how long that takes is not known before some are scored",
        "run     no run is working on it",
    ]


def test_status_while_a_run_works_tells_who_and_how_long(job: CommittedJob) -> None:
    job.begin()
    results = job.commit([0, 1])
    noted = [{name: getattr(one, name) for name in one.__slots__} for one in results]
    page = {"seconds": 80.0, "rows": 8, "parts": noted, "forgotten": []}
    for old in job.output.at("_ledger").objects():
        job.output.delete(f"_ledger/{old.path}")
    job.output.write("_ledger/20260101T000000-a-000000.json", json.dumps(page).encode())
    with locked(job.output):
        lines = told(job)
    assert lines[-2] == "left    2 rows, about 20s at 0 rows/s"
    assert lines[-1].startswith("run     a run is working on it: process ")


def test_status_tells_what_holds_by_hand_and_how_to_take_it_back(job: CommittedJob) -> None:
    job.begin()
    steer(job.output.uri, None, paused=True)
    steer(job.output.uri, None, most_in_flight=1)
    assert told(job)[-2:] == [
        "by hand paused; `rayton resume out` lets it go on",
        "by hand at most 1 in flight at each node; `rayton limit out` takes that back",
    ]
    steer(job.output.uri, None, paused=False)
    steer(job.output.uri, None, most_in_flight=None)
    assert told(job)[-1] == "run     no run is working on it"
    steer(job.output.uri, None, paused=True)
    job.commit_all()
    assert told(job)[-1] == "        the job is complete"


def test_status_of_a_complete_job(job: CommittedJob) -> None:
    job.complete()
    assert told(job)[-2:] == ["        9 scored + 1 rejected", "        the job is complete"]


def test_status_counts_parts_that_no_ledger_knows(job: CommittedJob) -> None:
    job.begin()
    job.commit([0, 1])
    for page in job.output.at("_ledger").objects():
        job.output.delete(f"_ledger/{page.path}")
    _, progress = status(job.output.uri, None)
    assert (progress.scored, progress.rejected) == (7, 1)


def spec(tmp_path: Path) -> JobSpec:
    return JobSpec.model_validate(
        {
            "input": {"uri": str(tmp_path / "in"), "keep": ["id"], "rows_per_chunk": 4},
            "models": [{"name": "words", "inputs": {"text": "body"}, "outputs": {"y": "y"}}],
            "output": {"uri": str(tmp_path / "out")},
            "triton": {"url": "localhost:8001"},
        }
    )


def test_a_plan_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    open_storage(str(tmp_path)).write("in/a.jsonl", b'{"id": 1, "body": "x"}\n' * 9)
    progress = planned(spec(tmp_path))
    assert (len(progress.plan.chunks), progress.plan.rows, progress.rows_done, progress.left_s) == (3, 9, 0, None)
    assert progress.plan.schema == pa.schema([("id", pa.int64()), ("body", pa.string())])
    assert not (tmp_path / "out").exists()


def test_the_plan_of_a_job_that_began_is_its_own(tmp_path: Path) -> None:
    job = CommittedJob(open_storage(str(tmp_path / "out")))
    job.begin(fingerprint(spec(tmp_path), [3], ["0" * 64]))
    job.commit([0])
    progress = planned(spec(tmp_path))
    assert progress.plan == PLAN
    assert (progress.chunks_done, progress.rows_done) == (1, 4)


def test_a_plan_into_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    open_storage(str(tmp_path)).write("out/thesis.tex", b"years of work")
    with pytest.raises(OutputError, match="holds other files"):
        planned(spec(tmp_path))


MODELS = [{"name": "words", "inputs": {"text": "body"}, "outputs": {"y": "y"}}]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"input": {"keep": []}}, 'input.keep: there ["id"], here []'),
        ({"input": {"rows_per_chunk": 5}}, "input.rows_per_chunk: there 4, here 5"),
        ({"output": {"format": "jsonl"}}, 'output.format: there "parquet", here "jsonl"'),
        ({"models": [{**MODELS[0], "version": 4}]}, '"version": 3'),
        ({"models": [{**MODELS[0], "truncate": False}]}, '"truncate": true'),
        ({"models": [*MODELS, {**MODELS[0], "name": "more", "outputs": {"y": "z"}}]}, '"name": "more"'),
    ],
)
def test_a_plan_of_another_job_than_that_of_the_folder_says_what_differs(
    tmp_path: Path, changed: dict[str, Any], line: str
) -> None:
    began = spec(tmp_path)
    CommittedJob(open_storage(str(tmp_path / "out"))).begin(fingerprint(began, [3], ["0" * 64]))
    planned(began)
    planned(with_changes(began, {"models": [{**MODELS[0], "version": 3}]}))
    with pytest.raises(OutputError, match="belongs to another job; it differs in:") as refusal:
        planned(with_changes(began, changed))
    assert line in str(refusal.value)


def with_changes(job: JobSpec, changed: dict[str, Any]) -> JobSpec:
    whole = job.model_dump()
    sections = {name: {**whole[name], **one} if isinstance(one, dict) else one for name, one in changed.items()}
    return JobSpec.model_validate({**whole, **sections})
