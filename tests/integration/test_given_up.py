"""A server that takes the process of its model for dead, in the middle of a call: nobody gets the answer of another."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.support import served_models
from tests.support.leftovers import command, descendants
from tests.support.served_models import AFFINE, ONE_CPU, write_version
from tests.support.triton import infer, send, start
from triton_models.server.last_words import last_words
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime

ROUNDS = 2_000_000
"""A call takes seconds, on a fast machine too."""
GIVES_UP_S = 1.0


@pytest.fixture
def server(runtime: Runtime, tmp_path: Path) -> Iterator[NodeServer]:
    write_version(tmp_path / "models", "affine", served_models.affine(ROUNDS), f"max_batch_size: 8\n{AFFINE}{ONE_CPU}")
    with start(runtime, tmp_path / "models") as server:
        yield server


@pytest.fixture
def client(server: NodeServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.grpc_url) as client:
        yield client


def process_of_the_model(server: NodeServer) -> int:
    (pid,) = (one for one in descendants(server.keeper.pid) if "triton_python_backend_stub" in command(one))
    return pid


def test_a_long_call_is_waited_for(client: InferenceServerClient) -> None:
    began_s = time.monotonic()
    for row in (1.0, 2.0):
        answer = infer(client, "affine", x=np.full((2, 4), row, np.float32))
        assert answer["total"].tolist() == [[4 * row], [4 * row]]
    assert time.monotonic() - began_s > 2 * GIVES_UP_S, "the calls are too short to show anything"


def test_after_a_call_that_was_given_up_the_server_ends_and_answers_nobody(
    server: NodeServer, client: InferenceServerClient
) -> None:
    first = send(client, "affine", x=np.full((1, 4), 1, np.float32))
    time.sleep(GIVES_UP_S)  # the call has begun
    pid = process_of_the_model(server)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(InferenceServerException, match=r"is not healthy\.$"):
            first.result(timeout=30)
        second = send(client, "affine", x=np.full((3, 4), 2, np.float32))
    finally:
        os.kill(pid, signal.SIGCONT)
    with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
        second.result(timeout=60)
    status = server.wait(timeout_s=30)
    assert status == 128 + signal.SIGKILL
    assert "got no processor for a second" in last_words(status, server.options.log_file)
