"""A job is killed without warning, again and again; in the end every row is there exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tritonclient.grpc import InferenceServerClient

from tests.support.jobs import score, scored_rows, start_score, totals, write_job
from tests.support.leftovers import await_end, command, descendants
from tests.support.triton import infer
from triton_models.server.metrics import read_metrics
from triton_models.server.process import NodeServer

ROWS, CHUNKS = 1000, 20
PARTS_AT_KILL = (0, 1, 4, 9, 15)
"""How many parts are there when the job is killed: before the first, after it, and in the middle of others."""

RAY_WORKER_GIVES_UP_S = 90.0
"""A Ray worker that is killed off its raylet while it starts looks for it for half a minute; others end at once."""


def test_a_job_killed_five_times_scores_every_row_once_and_no_finished_chunk_again(
    home: Path, texts: Path, tmp_path: Path, minilm_server: NodeServer, minilm_repository: Path
) -> None:
    output = tmp_path / "out"
    job = write_job(
        tmp_path / "job.toml",
        input=texts,
        output=output,
        triton={"url": minilm_server.grpc_url, "repository": minilm_repository},
        rows_per_chunk=ROWS // CHUNKS,
    )
    for parts in PARTS_AT_KILL:
        kill_when(start_score(job, home), output, parts)
        assert not (output / "_SUCCESS").exists()
        assert parts <= len(committed(output)) < CHUNKS

    finished = committed(output)
    await_abandoned_requests(minilm_server)
    before = inferences(minilm_server)
    printed = score(job, home)

    left = CHUNKS - len(finished)
    assert f"{len(finished)} chunks are committed, {left} with {left * ROWS // CHUNKS} rows are left" in printed
    assert inferences(minilm_server) - before == left * ROWS // CHUNKS
    assert finished.items() <= committed(output).items()
    assert totals(str(output)) == {"rows": ROWS, "scored": ROWS, "rejected": 0, "parts": CHUNKS}
    assert scored_rows(str(output))["id"].to_pylist() == sorted(pq.read_table(texts)["id"].to_pylist())


def kill_when(process: subprocess.Popen[str], output: Path, parts: int) -> None:
    """Kills the whole process group as soon as so many parts are there and scoring is under way; waits for its end."""
    with process:
        claimed = output / "_job.json"
        poll = threading.Event()
        while process.poll() is None and not (claimed.exists() and len(committed(output)) >= parts):
            poll.wait(0.02)
        assert process.poll() is None, "the job ended before it could be killed"
        family = descendants(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert [command(pid) for pid in await_end(family, RAY_WORKER_GIVES_UP_S)] == []


def committed(output: Path) -> dict[str, float]:
    """The parts that are there, and when each was written."""
    return {path.name: path.stat().st_mtime for path in output.glob("data/part-*.parquet")}


def await_abandoned_requests(server: NodeServer) -> None:
    """Waits for what the killed job had in flight: the one instance of the model answers in the order of arrival."""
    one_text = np.ones((1, 4), np.int64)
    with InferenceServerClient(server.grpc_url) as client:
        infer(client, "minilm", input_ids=one_text, attention_mask=one_text, token_type_ids=one_text)


def inferences(server: NodeServer) -> float:
    """Rows that the server has scored since its start."""
    return read_metrics(server.metrics_url).total("nv_inference_count", model="minilm")
