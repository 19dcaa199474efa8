"""Batches against real servers: the window that keeps them busy, rows that they cannot answer, rows that kill them."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ray_pipeline.models import JobModel
from ray_pipeline.prepare.rows import prepared_column
from ray_pipeline.scoring.model import ModelScorer, Scored
from ray_pipeline.scoring.window import MOST
from ray_pipeline.transport.grpc import GrpcTransport
from tests.support.job_models import tensor_model
from tests.support.served_models import (
    LETHAL,
    LOOKUP,
    ONE_CPU,
    WAITS,
    slow,
    table_lookup,
    tensors,
    write_python_version,
    write_version,
)
from tests.support.triton import start
from triton_models.server.options import ServerOptions
from triton_models.server.ports import steady_port
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.tensors import TensorSpec

MAX_BATCH, TABLE = 8, 10
WAITS_S = 0.02
BATCHES = f"max_batch_size: {MAX_BATCH}\n"
ONE_NUMBER = tensors("input", "x", "FP32", [1]) + tensors("output", "y", "FP32", [1])
WIDE = tensors("input", "x", "FP32", [256]) + tensors("output", "y", "FP32", [256])


def instances(count: int) -> str:
    return ONE_CPU.replace("count: 1", f"count: {count}")


@pytest.fixture(scope="module")
def server(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    repository = tmp_path_factory.mktemp("models")
    for count in (1, 3):
        waits = WAITS.replace("SECONDS", str(WAITS_S))
        write_python_version(repository, f"waits{count}", waits, BATCHES + ONE_NUMBER + instances(count))
        write_version(repository, f"slow{count}", slow(rounds=150), BATCHES + WIDE + instances(count))
    lookup = BATCHES + "dynamic_batching { }\n" + LOOKUP + ONE_CPU
    write_version(repository, "lookup", table_lookup(TABLE), lookup)
    with start(runtime, repository) as server:
        yield server


def model(name: str, input: TensorSpec, output: TensorSpec) -> JobModel:
    return replace(tensor_model(name, inputs=[input], outputs=[output]), max_batch_size=MAX_BATCH)


def waiting(name: str, width: int) -> JobModel:
    return model(name, TensorSpec("x", "FP32", (width,)), TensorSpec("y", "FP32", (width,)))


def prepared(model: JobModel, rows: np.ndarray) -> pa.Table:
    """Rows of one input, shape [rows, ...]."""
    return pa.table({prepared_column(model, model.inputs[0].name): rows.tolist()})


def sizes(server: NodeServer, model: JobModel, width: int, chunks: int) -> list[int]:
    """The size of the window after each of some chunks of 30 batches."""
    rows = prepared(model, np.ones((30 * MAX_BATCH, width), np.float32))
    found = []
    with closing(GrpcTransport(server.grpc_url)) as transport:
        scorer = ModelScorer(model, transport, 10)
        for _ in range(chunks):
            assert scorer.score(rows, np.ones(len(rows), np.bool_)).refused == {}
            found.append(scorer.window.size)
    return found


@pytest.mark.parametrize(("count", "fits"), [(1, {2, 3}), (3, {4, 5, 6})])
def test_the_window_settles_a_little_above_the_number_of_instances(
    server: NodeServer, count: int, fits: set[int]
) -> None:
    found = sizes(server, waiting(f"waits{count}", 1), 1, chunks=6)
    print(f"{count} instances that take {WAITS_S * 1e3:g} ms a batch: window {found}")
    assert found[-1] in fits


@pytest.mark.parametrize("count", [1, 3])
def test_the_window_is_small_where_instances_share_the_cores(server: NodeServer, count: int) -> None:
    found = sizes(server, waiting(f"slow{count}", 256), 256, chunks=6)
    print(f"{count} instances that compute: window {found}")
    # On a machine with other work answers also wait to be put away, which needs more batches on their way.
    assert found[-1] <= MOST // 2


@pytest.mark.parametrize("seed", range(3))
def test_of_fifty_batches_with_a_guilty_row_each_exactly_those_rows_are_rejected(server: NodeServer, seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    lookup = model("lookup", TensorSpec("ids", "INT64", (1,)), TensorSpec("vector", "FP32", (1, 2)))
    ids = np.array([[chance.randrange(TABLE)] for _ in range(50 * MAX_BATCH)])
    guilty = [batch * MAX_BATCH + chance.randrange(MAX_BATCH) for batch in range(50)]
    ids[guilty] = [[chance.randrange(TABLE, 1000)] for _ in guilty]

    with closing(GrpcTransport(server.grpc_url)) as transport:
        scored = ModelScorer(lookup, transport, 10).score(prepared(lookup, ids), np.ones(len(ids), np.bool_))

    assert sorted(scored.refused) == guilty
    assert {refusal.error for refusal in scored.refused.values()} == {"RefusedError"}
    bad = set(guilty)
    expected = [None if row in bad else [[2 * one, 2 * one + 1]] for row, one in enumerate(ids[:, 0].tolist())]
    assert scored.columns["vector"].to_pylist() == expected


def test_a_row_that_kills_the_server_is_rejected_and_all_others_are_scored(runtime: Runtime, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_python_version(repository, "lethal", LETHAL, BATCHES + ONE_NUMBER + ONE_CPU)
    numbers = np.arange(5 * MAX_BATCH, dtype=np.float32).reshape(-1, 1)
    numbers[19] = -1
    lethal = waiting("lethal", 1)

    with raised_again(runtime, ServerOptions(repository=repository, log_file=tmp_path / "triton.log")) as address:
        scored = deadly_scored(lethal, address, numbers)

    refusal = scored.refused.pop(19)
    print(refusal.message)
    assert (scored.refused, refusal.error) == ({}, "ServerDiedError")
    assert f"server {address} was ready, got this request and died, 3 times" in refusal.message
    assert scored.columns["y"].to_pylist() == [None if row == 19 else [float(row)] for row in range(len(numbers))]


def deadly_scored(model: JobModel, address: str, numbers: np.ndarray) -> Scored:
    with closing(GrpcTransport(address)) as transport:
        return ModelScorer(model, transport, 60).score(prepared(model, numbers), np.ones(len(numbers), np.bool_))


@contextmanager
def raised_again(runtime: Runtime, options: ServerOptions) -> Iterator[str]:
    """The address of a server that is started again each time that it dies, as a cluster does it."""
    same_port = replace(options, grpc_port=steady_port())
    server = NodeServer.start(runtime, same_port)
    over, lives = threading.Event(), [server]

    def watch() -> None:
        while not over.is_set():
            lives[-1].wait()
            if not over.is_set():
                lives.append(NodeServer.start(runtime, same_port))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield server.grpc_url
    finally:
        over.set()
        lives[-1].stop()
        watcher.join()
        print(f"the server died {len(lives) - 1} times")
