"""Limiters that run, and how to come to them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tritonclient.grpc import InferenceServerClient, service_pb2

from ray_pipeline.sharing.holder import Holder, Permit
from ray_pipeline.sharing.limit import Bound
from ray_pipeline.sharing.messages import Hello
from tests.support.leftovers import PATIENCE_S, command, is_alive
from tests.support.served_models import ONE_CPU, slow, tensors, write_version
from tests.support.triton import start
from tests.support.waiting import until
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime

WIDTH = 1
CONFIG = "".join(
    [
        "max_batch_size: 8\ndynamic_batching { }\n",
        tensors("input", "x", "FP32", [WIDTH]),
        tensors("output", "y", "FP32", [WIDTH]),
        ONE_CPU,
    ]
)


def hello(job: str = "job", weight: float = 1.0, priority: int = 0) -> Hello:
    """How a job introduces itself, with a canary for version 1 of `slow`, whose input `x` has `WIDTH` numbers a row."""
    row = service_pb2.ModelInferRequest(model_name="slow", model_version="1")
    row.inputs.add(name="x", datatype="FP32", shape=[1, WIDTH])
    row.raw_input_contents.append(bytes(4 * WIDTH))
    bound = Bound(0.95, max_slowdown=2.0)
    return Hello(job, os.getpid(), bound, 1, row.SerializeToString(), weight, priority)


@contextmanager
def slow_server(runtime: Runtime, repository: Path, rounds: int) -> Iterator[NodeServer]:
    """A server with one small model, `slow`, which takes the longer the more rounds it has."""
    write_version(repository, "slow", slow(rounds, WIDTH), CONFIG)
    with start(runtime, repository) as server:
        yield server


def counts(server: NodeServer) -> tuple[int, int]:
    """The requests for `slow` that have succeeded and that have failed."""
    with InferenceServerClient(server.grpc_url) as client:
        (model,) = client.get_inference_statistics("slow").model_stats
        return int(model.inference_stats.success.count), int(model.inference_stats.fail.count)


def limiters(address: str) -> set[int]:
    """The limiters of an address that run; one that leads its session is only about to start another."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        pid, words = int(path.name), command(int(path.name))
        if "ray_pipeline.sharing.limiter" in words and address in words and is_alive(pid):
            with suppress(ProcessLookupError):
                found |= {pid} - {os.getsid(pid)}
    return found


def waiting(pool: ThreadPoolExecutor, holder: Holder) -> Future[Permit]:
    """A thread that waits for a permit."""
    return pool.submit(holder.take, 0.01)


def await_limit(holder: Holder, cause: str = "") -> None:
    """Waits until the limiter has told more than that it is looked for."""
    until_s, never = time.monotonic() + PATIENCE_S, threading.Event()
    while "the limiter is gone" in holder.limit.cause or cause not in holder.limit.cause:
        assert time.monotonic() < until_s, holder.limit
        never.wait(0.02)


def await_others(address: str, killed: int) -> set[int]:
    """Waits for a limiter other than the one that was `killed`, 0 if there was none."""
    return until(lambda: limiters(address) - {killed}, "another limiter runs", PATIENCE_S)
