"""`rayton watch` beside a job that runs, one that was killed, and one that has failed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_pipeline.telemetry.log import log_file_of
from tests.support.command import run_rayton, start_rayton
from tests.support.jobs import await_family, await_part, failing_score, kill_when, start_score, totals
from tests.support.sums import write_sums_job

ROWS = 3000


@pytest.fixture
def job(tmp_path: Path, affine_triton: dict[str, object]) -> Path:
    return write_sums_job(tmp_path, ROWS, affine_triton)


def test_it_shows_a_job_until_it_is_complete(job: Path, home: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with start_score(job, home) as process:
        await_part(process, output)
        with start_rayton(home, "watch", str(output)) as watch:
            told, errors = watch.communicate(timeout=300)
        process.communicate(timeout=300)
    assert (watch.returncode, process.returncode) == (0, 0), errors
    *shown, done = told.splitlines()
    assert done == f"done    {ROWS:,} rows = {ROWS:,} scored + 0 rejected, in {totals(str(output))['parts']} parts"
    rows = [rows_in(line) for line in shown]
    assert rows == sorted(rows)
    assert rows[-1] == ROWS

    log = [json.loads(line) for line in log_file_of(str(output), home).read_text().splitlines()]
    assert [log[0]["event"], log[-1]["event"]] == ["run began", "run ended"]
    assert sum(line["scored"] for line in log if line["event"] == "chunk committed") == ROWS


def test_a_job_that_was_killed_is_not_waited_for(job: Path, home: Path, tmp_path: Path) -> None:
    family = kill_when(start_score(job, home), lambda: any((tmp_path / "out").glob("data/*")))
    ended = run_rayton(home, "watch", str(tmp_path / "out"))
    assert ended.returncode == 1
    assert "the run that worked on it is dead (process " in ended.stderr
    assert "and it is not complete; `rayton score` with its job file goes on" in ended.stderr
    await_family(family)


def test_a_job_that_has_failed_is_told_with_its_error(job: Path, home: Path, tmp_path: Path) -> None:
    holes = pa.table({"id": [0, 1], "x": pa.array([None, [1.0, 2.0, 3.0, 4.0]], pa.list_(pa.float32()))})
    pq.write_table(holes, tmp_path / "in" / "b.parquet")
    job.write_text(job.read_text().replace("[output]\n", "[output]\nmax_rejected = 0.0\n"))
    failing_score(job, home)
    ended = run_rayton(home, "watch", str(tmp_path / "out"))
    assert ended.returncode == 1
    assert "out: its run has ended: 1 of 3,002 rows are rejected, more than output.max_rejected = 0" in ended.stderr


def rows_in(line: str) -> int:
    """The rows that are done by a line of progress."""
    found = re.match(r"([\d,]+) of 3,000 rows, [\d,]+ rows/s", line)
    assert found is not None, line
    return int(found[1].replace(",", ""))
