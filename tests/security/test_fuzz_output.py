"""Whatever lies where a file beside an output should lie: it is read as meant, or refused in words for people."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from ray_pipeline.output import ledger, lock
from ray_pipeline.output.claim import check_job, read_claim, read_plan
from ray_pipeline.output.steering import read_steering
from ray_pipeline.output.success import read_manifest, read_success
from ray_pipeline.overview import Overview
from ray_pipeline.plan import Plan, check_named
from ray_pipeline.progress import status, verify
from ray_pipeline.spec import JobSpec
from ray_pipeline.summary.figures import figures_of
from ray_pipeline.summary.recorded import Recorded
from ray_pipeline.telemetry.metrics import ROWS, SECONDS
from ray_pipeline.telemetry.record import Page, read_record
from ray_pipeline.telemetry.view import View
from ray_pipeline.watching import picture
from tests.support.committed import PLAN, CommittedJob
from tests.support.fuzz import DEEP, FUZZ, JOB, SCALARS, changed_json, mutated, only_ours
from triton_models.storage import Storage, open_storage

SPEC = JobSpec.model_validate(JOB)

CLAIM = {
    "format": 3,
    "input": {"uri": "in", "keep": ["id"], "rows_per_chunk": 4},
    "models": [{"name": "words", "version": 3, "checksum": "ab", "inputs": {"text": "body"}, "outputs": {"y": "y"}}],
    "output": {"format": "parquet", "on_nonfinite": "reject"},
}
PART = {"chunk": PLAN.chunks[0].id, "scored": 4, "rejected": 0, "bytes": 600, "sha256": "ab" * 32}
PAGE = {"seconds": 12.5, "rows": 4, "parts": [PART], "forgotten": [PLAN.chunks[1].id]}
MANIFEST = {"totals": {"rows": 10, "scored": 9, "rejected": 1, "parts": 3}, "parts": [PART]}
STEERING = {"paused": True, "most_in_flight": 2}
STAGE = {"began_s": 1.8e9, "took_s": 1.5}
COURSE = {
    "node": "10.0.0.1",
    **dict.fromkeys(("read", "prepare", "score", "write"), STAGE),
    "batches": {
        "count": 2,
        "bytes": 900,
        "permit_s": 0.5,
        "seconds": [1] * (len(SECONDS) + 1),
        "rows": [0] * len(ROWS) + [2],
        "limits": [{"at_s": 1.8e9, "in_flight": 1, "batch_s": 0.05, "cause": "users are online"}],
        "canaries": [{"at_s": 1.8e9, "took_s": 0.02, "silent": False}],
    },
    "rejections": {"score: NaN": 1},
}
RECORD = {
    "run": {"id": "1", "began_s": 1.8e9, "nodes": ["10.0.0.1"]},
    "at_s": 1.8e9 + 60,
    "committed": [{"part": PART, "course": COURSE}],
    "over": True,
}
HOLDER = {"host": "elsewhere (1-2)", "pid": 1, "born": "9", "since": "today", "beat": 3}


@pytest.fixture(scope="module")
def job(folder: Path) -> CommittedJob:
    """A complete job, of which each test spoils one file."""
    found = CommittedJob(open_storage(str(folder / "out")))
    found.complete()
    found.output.write("_steering.json", json.dumps(STEERING).encode())
    return found


@st.composite
def plans(draw: st.DrawFn) -> bytes:
    """A table in the place of a plan: columns of other types, with holes, with other facts about it."""
    table = pq.read_table(pa.BufferReader(PLAN.to_bytes()))
    metadata = dict(table.schema.metadata)
    column = draw(st.sampled_from(table.column_names))
    values = draw(st.lists(SCALARS, min_size=table.num_rows, max_size=table.num_rows) | st.just([draw(SCALARS)] * 3))
    with suppress(pa.ArrowException, ValueError, OverflowError, TypeError):
        table = table.set_column(table.column_names.index(column), column, pa.array(values))
    fact = draw(st.sampled_from(sorted(metadata)))
    metadata[fact] = draw(st.binary(max_size=40) | mutated(metadata[fact]))
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def spoiled(job: CommittedJob, path: str, content: bytes) -> None:
    """Reads all that tells of a job, with another content of one file, which is put back."""
    assert job.output.local is not None
    file = job.output.local / path
    good = file.read_bytes()
    file.write_bytes(content)
    try:
        read_all(job.output)
    finally:
        file.write_bytes(good)


def read_all(output: Storage) -> None:
    """What `score`, `plan`, `status` and `verify` read of an output folder."""
    claim = only_ours(partial(read_claim, output))
    if claim is not None:
        only_ours(partial(check_job, output, claim, SPEC))
    plan: Plan | None = only_ours(partial(read_plan, output))
    if plan is not None:
        only_ours(partial(check_named, plan, "in"))
    for read in (read_steering, read_success, read_manifest, ledger.rows_per_s, lock.holder):
        only_ours(partial(read, output))
    only_ours(partial(ledger.known, output, {}))
    seen = Overview(Console(file=io.StringIO()), output.uri)
    found = only_ours(partial(status, output.uri, None))
    if found is not None:
        seen.status(*found)
    only_ours(lambda: seen.verified(verify(output.uri, None)))


@FUZZ
@given(changed_json(CLAIM) | mutated(json.dumps(CLAIM).encode()))
@example(DEEP)
@example(b'{"' + b"[" * 20_000 + b'": 1}')
def test_job_json(job: CommittedJob, content: bytes) -> None:
    spoiled(job, "_job.json", content)


@FUZZ
@given(changed_json(PAGE) | mutated(json.dumps(PAGE).encode()))
@example(DEEP)
def test_a_page_of_the_ledger(job: CommittedJob, content: bytes) -> None:
    (page,) = job.output.at("_ledger").objects()
    spoiled(job, f"_ledger/{page.path}", content)


@FUZZ
@given(changed_json(RECORD) | mutated(json.dumps(RECORD).encode()))
@example(DEEP)
def test_a_page_of_the_record(folder: Path, content: bytes) -> None:
    output = open_storage(str(folder / "recorded"))
    output.write("_record/1-000000.json", content)
    pages: list[tuple[str, Page]] | None = only_ours(lambda: list(read_record(output)))
    for _, page in pages or ():
        view = View()
        view.add(page)
        picture(output.uri, view, 0, 1, page.at_s, ())
        figures_of(Recorded([page])).cost(1.0)


@FUZZ
@given(changed_json(MANIFEST) | mutated(json.dumps(MANIFEST).encode()))
@example(DEEP)
def test_success(job: CommittedJob, content: bytes) -> None:
    spoiled(job, "_SUCCESS", content)


@FUZZ
@given(changed_json(STEERING) | mutated(json.dumps(STEERING).encode()))
@example(DEEP)
def test_the_steering_file(job: CommittedJob, content: bytes) -> None:
    spoiled(job, "_steering.json", content)


@FUZZ
@given(changed_json(HOLDER) | mutated(json.dumps(HOLDER).encode()))
@example(DEEP)
def test_a_lock(folder: Path, content: bytes) -> None:
    output = open_storage(str(folder / "locked"))
    (folder / "locked" / "_lock").mkdir(parents=True, exist_ok=True)
    (folder / "locked" / "_lock" / "000007.json").write_bytes(content)
    only_ours(partial(lock.holder, output))


@FUZZ
@given(mutated(PLAN.to_bytes()) | plans())
@example(b"")
def test_a_plan(job: CommittedJob, content: bytes) -> None:
    spoiled(job, "_plan.parquet", content)
