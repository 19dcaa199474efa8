"""A job on the server of online users: it sees them, holds back while they are there, and is steered by hand."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.online import Stretch, users
from ray_pipeline.sharing.connection import log_file_of
from tests.support.command import run_rayton
from tests.support.jobs import await_part, score, scored_rows, start_score, totals, write_job
from triton_models.server.process import NodeServer

ROWS = 600


@pytest.fixture
def job(texts: Path, tmp_path: Path, minilm_server: NodeServer, minilm_repository: Path) -> Path:
    few = tmp_path / "few.parquet"
    pq.write_table(pq.read_table(texts).slice(0, ROWS), few)
    return write_job(
        tmp_path / "job.toml",
        input=few,
        output=tmp_path / "out",
        triton={"url": minilm_server.grpc_url, "repository": minilm_repository},
        rows_per_chunk=50,
        sharing={"lane": "shared", "max_slowdown": 3.0},
    )


def limits(server: NodeServer, home: Path) -> list[dict[str, Any]]:
    """The changes of the limit, oldest first; of all jobs at this server so far."""
    lines = log_file_of(server.grpc_url, home).read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "limit"]


def test_users_are_seen_and_bulk_holds_back(job: Path, home: Path, tmp_path: Path, minilm_server: NodeServer) -> None:
    with users(minilm_server.grpc_url, "minilm", 64, [Stretch(rate_per_s=10, seconds=60)], seed=0) as seen:
        printed = score(job, home)
    assert "lane    shared: as the job file says\n        95% of online users wait at most 3 times as long" in printed
    assert "\ncaution minilm: instance_group has 1 instance: a batch of bulk that runs is not interrupted" in printed
    assert totals(str(tmp_path / "out")) | {"parts": 0} == {"rows": ROWS, "scored": ROWS, "rejected": 0, "parts": 0}
    assert scored_rows(str(tmp_path / "out")).num_rows == ROWS
    assert seen.errors == []
    online = [limit for limit in limits(minilm_server, home) if limit["cause"].startswith("users are online")]
    assert online
    assert all(limit["in_flight"] == 1 and limit["batch_s"] > 0 for limit in online)


def test_a_job_is_paused_and_goes_on(job: Path, home: Path, tmp_path: Path, minilm_server: NodeServer) -> None:
    output = tmp_path / "out"
    with start_score(job, home) as process:
        await_part(process, output)
        assert "paused" in run_rayton(home, "pause", str(output)).stdout
        stopped = _await_standstill(output)
        assert process.poll() is None
        assert f"\nby hand paused; `rayton resume {output}` lets" in run_rayton(home, "status", str(output)).stdout
        run_rayton(home, "resume", str(output))
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert stopped < ROWS / 50
    assert totals(str(output))["scored"] == ROWS


def test_only_a_job_can_be_steered(home: Path, tmp_path: Path) -> None:
    ended = run_rayton(home, "pause", str(tmp_path))
    assert ended.returncode == 1
    assert "is not the output of a job" in ended.stderr


def _await_standstill(output: Path) -> int:
    """Waits until no part has come for some seconds; gives how many are there."""
    before, poll = -1, threading.Event()
    while (now := len(list(output.glob("data/part-*.parquet")))) != before:
        before = now
        poll.wait(5.0)
    return now
