"""What bulk has abandoned, the server does not compute any more; users would wait for it."""

from __future__ import annotations

import numpy as np
import pytest

from ray_pipeline.transport.base import Request, Transport
from ray_pipeline.transport.grpc import GrpcTransport
from ray_pipeline.transport.shared_memory import SharedMemoryTransport
from tests.support.waiting import until
from triton_models.server.metrics import read_metrics
from triton_models.server.process import NodeServer

PATIENCE_S = 120.0
ROWS, BATCHES = 32, 60
"""Triton puts several that wait together, and a batch that runs is run to its end: some twenty at the most."""


def long_batch() -> Request:
    fill = {"input_ids": 2000, "attention_mask": 1, "token_type_ids": 0}
    return Request("minilm", 1, {name: np.full((ROWS, 256), value) for name, value in fill.items()}, ())


def computed(server: NodeServer) -> float:
    return read_metrics(server.metrics_url).total("nv_inference_count")


@pytest.mark.parametrize("way", [GrpcTransport, SharedMemoryTransport])
def test_a_server_forgets_the_batches_of_a_client_that_is_gone(
    minilm_server: NodeServer, way: type[GrpcTransport | SharedMemoryTransport]
) -> None:
    before = computed(minilm_server)
    transport: Transport = way(minilm_server.grpc_url)
    sent = [transport.send(long_batch()) for _ in range(BATCHES)]  # gRPC cancels what nobody holds
    until(lambda: computed(minilm_server) > before, "one of them has run", PATIENCE_S)  # not always the first sent
    transport.close()
    del sent
    after = GrpcTransport(minilm_server.grpc_url)
    after.send(Request("minilm", 1, {name: array[:1] for name, array in long_batch().inputs.items()}, ())).result()
    after.close()
    assert (computed(minilm_server) - before) / ROWS < BATCHES / 2
