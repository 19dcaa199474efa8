"""A job is killed without warning, again and again; in the end every row is there exactly once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tritonclient.grpc import InferenceServerClient

from tests.support.counts import settled_total
from tests.support.jobs import await_family, kill_when, score, scored_rows, start_score, totals, write_job
from tests.support.triton import infer
from triton_models.server.process import NodeServer

ROWS, CHUNKS = 1000, 20
PARTS_AT_KILL = (0, 1, 4, 9, 15)
"""How many parts are there when the job is killed: before the first, after it, and in the middle of others."""


def test_a_job_killed_five_times_scores_every_row_once_and_no_finished_chunk_again(
    home: Path,
    texts: Path,
    tmp_path: Path,
    minilm_server: NodeServer,
    minilm_repository: Path,
    pool: ThreadPoolExecutor,
) -> None:
    output = tmp_path / "out"
    job = write_job(
        tmp_path / "job.toml",
        input=texts,
        output=output,
        triton={"url": minilm_server.grpc_url, "repository": minilm_repository},
        rows_per_chunk=ROWS // CHUNKS,
    )
    ends = []
    for parts in PARTS_AT_KILL:
        family = kill_when(start_score(job, home), partial(is_under_way, output, parts))
        ends.append(pool.submit(await_family, family))
        assert not (output / "_SUCCESS").exists()
        assert parts <= len(committed(output)) < CHUNKS

    for end in ends:
        end.result()  # those that outlive a killed job may still send
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


def is_under_way(output: Path, parts: int) -> bool:
    """Whether scoring has begun and so many parts are there."""
    return (output / "_job.json").exists() and len(committed(output)) >= parts


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
    return settled_total(server.metrics_url, model="minilm")
