"""Shared memory when things go wrong: clients that are killed, servers that are started again, requests without end."""

from __future__ import annotations

import gc
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc

from ray_pipeline.errors import RetryableError
from ray_pipeline.retry import waited_for
from ray_pipeline.transport import grpc as grpc_transport
from ray_pipeline.transport.base import Request, Tensors
from ray_pipeline.transport.choose import choose, open_transport
from ray_pipeline.transport.regions import Registry
from ray_pipeline.transport.shared_memory import SharedMemoryTransport
from tests.support.command import ROOT
from tests.support.leftovers import shared_memory_of
from tests.support.served_models import AFFINE, ONE_CPU, affine, slow, tensors, write_version
from tests.support.triton import start
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime

BATCHES = "max_batch_size: 8\ndynamic_batching { }\n"
SLOW = tensors("input", "x", "FP32", [256]) + tensors("output", "y", "FP32", [256])
ROUNDS = 150_000  # more than a second, also on a fast and idle machine
PATIENCE_S = 30.0

CLIENT = """
import sys
import numpy as np
from ray_pipeline.transport.base import Request
from ray_pipeline.transport.shared_memory import SharedMemoryTransport

transport = SharedMemoryTransport(sys.argv[1], smallest=0)
transport.send(Request("affine", 1, {"x": np.ones((1, 4), np.float32)}, ("scaled",))).result()
print("answered", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_version(folder, "affine", affine(), BATCHES + AFFINE + ONE_CPU)
    write_version(folder, "slow", slow(ROUNDS), BATCHES + SLOW + ONE_CPU)
    return folder


@pytest.fixture(scope="module")
def server(runtime: Runtime, repository: Path) -> Iterator[NodeServer]:
    with start(runtime, repository, probe=False) as server:
        yield server


@pytest.fixture
def transport(server: NodeServer) -> Iterator[SharedMemoryTransport]:
    made = SharedMemoryTransport(server.grpc_url, smallest=0)
    yield made
    made.close()


def ask(x: float) -> Request:
    return Request("affine", 1, {"x": np.full((2, 4), x, np.float32)}, ("scaled",))


def answered(transport: SharedMemoryTransport, request: Request) -> Tensors:
    return transport.send(request).result()


def regions_at(server: NodeServer) -> list[str]:
    with grpc.insecure_channel(server.grpc_url) as channel:
        return Registry(service_pb2_grpc.GRPCInferenceServiceStub(channel)).names()


@contextmanager
def client(server: NodeServer) -> Iterator[subprocess.Popen[str]]:
    """Another process that has sent one request and waits for the end of its input."""
    command = [sys.executable, "-c", CLIENT, server.grpc_url]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "answered\n"
        yield process


def test_a_killed_client_leaves_no_file_and_the_next_start_frees_its_memory_at_the_server(
    server: NodeServer, transport: SharedMemoryTransport
) -> None:
    transport.send(ask(1)).result()
    own = regions_at(server)
    with client(server) as process:
        left = set(regions_at(server)) - set(own)
        assert len(left) == 1
        choose(server.grpc_url, "shared_memory", PATIENCE_S)
        assert left <= set(regions_at(server)), "the memory of a process that lives was taken away"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert shared_memory_of(process.pid) == set()
    assert left <= set(regions_at(server))

    choose(server.grpc_url, "shared_memory", PATIENCE_S)

    assert regions_at(server) == own
    np.testing.assert_array_equal(transport.send(ask(3)).result()["scaled"], np.full((2, 4), 6))


def test_a_client_that_ends_gives_its_memory_back_even_if_it_does_not_close(server: NodeServer) -> None:
    with client(server) as process:
        assert len(regions_at(server)) == 1
        _, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert regions_at(server) == []


def test_a_transport_that_is_let_go_of_gives_its_memory_back(server: NodeServer) -> None:
    transport = SharedMemoryTransport(server.grpc_url, smallest=0)
    transport.send(ask(1)).result()
    assert len(regions_at(server)) == 1
    del transport
    gc.collect()
    assert regions_at(server) == []


def test_a_server_that_is_started_again_is_given_the_memory_again(
    runtime: Runtime, repository: Path, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with start(runtime, repository, probe=False, models=("affine",), grpc_port=free_port) as first:
        transport = SharedMemoryTransport(first.grpc_url, smallest=0)
        for pending in [transport.send(ask(1)), transport.send(ask(2))]:
            pending.result()
        assert len(regions_at(first)) == 2
    with pytest.raises(RetryableError):
        transport.send(ask(3)).result()
    with start(runtime, repository, probe=False, models=("affine",), grpc_port=free_port) as second:
        for number in range(4, 8):
            answer = waited_for(partial(answered, transport, ask(number)), PATIENCE_S)
            np.testing.assert_array_equal(answer["scaled"], np.full((2, 4), 2 * number))
        caplog.clear()
        for pending in [transport.send(ask(8)), transport.send(ask(9))]:
            pending.result()
        assert caplog.text == ""
        assert len(regions_at(second)) == 2
        transport.close()
        assert regions_at(second) == []


def test_memory_of_a_request_that_timed_out_is_left_to_the_server_until_it_is_done(
    server: NodeServer, transport: SharedMemoryTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.ones((4, 256), np.float32)
    monkeypatch.setattr(grpc_transport, "REQUEST_TIMEOUT_S", 0.2)
    with pytest.raises(RetryableError, match="DEADLINE"):
        transport.send(Request("slow", 1, {"x": x}, ("y",))).result()
    (in_use,) = regions_at(server)
    monkeypatch.undo()

    np.testing.assert_array_equal(transport.send(ask(5)).result()["scaled"], np.full((2, 4), 10))

    assert len(regions_at(server)) == 2
    transport.send(Request("slow", 1, {"x": x}, ("y",))).result()  # stands in line behind the one that timed out
    transport.close()
    assert in_use not in regions_at(server)
    assert regions_at(server) == []


def test_without_room_in_shared_memory_a_batch_goes_through_grpc_and_that_is_said(
    server: NodeServer, transport: SharedMemoryTransport, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        pending = transport.send(ask(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(pending.result()["scaled"], np.full((2, 4), 4))
    assert f"batches go to {server.grpc_url} without shared memory: " in caplog.text
    assert regions_at(server) == []


def test_small_requests_go_through_grpc(server: NodeServer) -> None:
    transport = open_transport(server.grpc_url, "auto", PATIENCE_S)
    transport.send(ask(1)).result()
    assert regions_at(server) == []
    transport.close()


def test_a_server_on_this_machine_shares_memory(server: NodeServer) -> None:
    assert choose(server.grpc_url, "auto", PATIENCE_S).transport == "shared_memory"
    assert regions_at(server) == []
