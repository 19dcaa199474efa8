"""What every transport must do: the real ones against a real server, and the fake that unit tests use instead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from queue import Queue

import numpy as np
import pytest

from ray_pipeline.errors import FatalError, RefusedError, RetryableError
from ray_pipeline.outcome import Outcome
from ray_pipeline.transport.base import Request, Tensors, Transport
from ray_pipeline.transport.fake import FakeTransport
from ray_pipeline.transport.grpc import GrpcTransport
from ray_pipeline.transport.shared_memory import SharedMemoryTransport
from tests.support.counts import settled
from tests.support.served_models import AFFINE, LOOKUP, ONE_CPU, affine, identity, table_lookup, tensors, write_version
from tests.support.triton import Array, start
from triton_models.server.live import load_everywhere
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.tensors import DTYPES, Dtype

MAX_BATCH = 8
BATCHES = f"max_batch_size: {MAX_BATCH}\ndynamic_batching {{ }}\n"
TIMEOUT_S = 10.0


@pytest.fixture(scope="module")
def server(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    repository = tmp_path_factory.mktemp("models")
    pairs = "".join(
        tensors("input", f"x{place}", dtype.config.removeprefix("TYPE_"), [-1])
        + tensors("output", f"y{place}", dtype.config.removeprefix("TYPE_"), [-1])
        for place, dtype in enumerate(DTYPES)
    )
    each_type = identity([dtype.onnx for dtype in DTYPES], ("batch", "moving"))
    write_version(repository, "each_type", each_type, BATCHES + pairs + ONE_CPU)
    write_version(repository, "affine", affine(), BATCHES + AFFINE + ONE_CPU)
    write_version(repository, "lookup", table_lookup(rows=10), BATCHES + LOOKUP + ONE_CPU)
    with start(runtime, repository) as server:
        yield server


@pytest.fixture(params=["fake", "grpc", "shared_memory"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    made: Transport
    if request.param == "fake":
        made = FakeTransport(answer)
    elif request.param == "grpc":
        made = GrpcTransport(request.getfixturevalue("server").grpc_url)
    else:
        made = SharedMemoryTransport(request.getfixturevalue("server").grpc_url, smallest=0)
    yield made
    made.close()


def answer(request: Request) -> Tensors:
    """What the models of `server` answer."""
    answers = _answers_of(request.model, request.inputs) if request.version == 1 else None
    if answers is None:
        raise FatalError(f"no {request.model} version {request.version}")
    return {name: answers[name] for name in request.outputs}


def _answers_of(model: str, inputs: Tensors) -> Tensors | None:
    if max(len(array) for array in inputs.values()) > MAX_BATCH:
        raise RefusedError("the batch is too large")
    if model == "each_type":
        return {name.replace("x", "y"): array for name, array in inputs.items()}
    if model == "lookup":
        table = np.arange(20, dtype=np.float32).reshape(10, 2)
        if (inputs["ids"] >= 10).any():
            raise RefusedError("an id is out of range")
        return {"vector": table[inputs["ids"]]}
    if model == "affine":
        if inputs["x"].dtype != np.float32 or inputs["x"].shape[1:] != (4,):
            raise RefusedError("another tensor is wanted")
        return {"scaled": inputs["x"] * 2, "total": inputs["x"].sum(axis=1, keepdims=True)}
    return None


def lookup(*ids: int) -> Request:
    return Request("lookup", 1, {"ids": np.array(ids, np.int64).reshape(-1, 1)}, ("vector",))


def affine_request(x: Array, *, model: str = "affine", version: int = 1) -> Request:
    return Request(model, version, {"x": x}, ("scaled",))


def rows_of(dtype: Dtype) -> Array:
    """Two rows with the ends of the type's range."""
    if dtype.triton == "BYTES":
        return np.array([[b"", "ü".encode()], [b"a\0b", b"x" * 1000]], np.object_)
    if dtype.numpy.kind in "iu":
        ends = np.iinfo(dtype.numpy.name)
        return np.array([[ends.min, ends.max], [0, 1]], dtype.numpy)
    return np.array([[0, 1], [1, 0]], dtype.numpy)


@pytest.mark.parametrize("columns", [2, 0], ids=["values", "empty"])
def test_tensors_of_every_type_come_back_as_they_were_sent(transport: Transport, columns: int) -> None:
    sent = {f"x{place}": rows_of(dtype)[:, :columns] for place, dtype in enumerate(DTYPES)}
    names = tuple(f"y{place}" for place in range(len(DTYPES)))
    got = transport.send(Request("each_type", 1, sent, names)).result()
    assert set(got) == set(names)
    for place, dtype in enumerate(DTYPES):
        assert got[f"y{place}"].dtype == dtype.numpy
        np.testing.assert_array_equal(got[f"y{place}"], sent[f"x{place}"])


def test_only_the_outputs_that_are_asked_for_come_back(transport: Transport) -> None:
    x = np.ones((3, 4), np.float32)
    (only,) = transport.send(Request("affine", 1, {"x": x}, ("total",))).result().items()
    assert only[0] == "total"
    np.testing.assert_array_equal(only[1], [[4], [4], [4]])


def test_batches_in_flight_are_answered_each_for_itself_in_any_order(transport: Transport) -> None:
    pending = [transport.send(lookup(number, number + 1)) for number in range(6)]
    for number in reversed(range(6)):
        vector = pending[number].result()["vector"]
        np.testing.assert_array_equal(vector.reshape(2, 2)[0], [2 * number, 2 * number + 1])


def test_a_refusal_comes_with_the_result_and_spares_the_others(transport: Transport) -> None:
    first, guilty, last = [transport.send(lookup(number)) for number in (1, 99, 2)]
    with pytest.raises(RefusedError) as refusal:
        guilty.result()
    assert str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert [pending.result()["vector"].shape[0] for pending in (first, last)] == [1, 1]


@pytest.mark.parametrize(
    ("request_", "outcome"),
    [(lookup(1), "success"), (lookup(10), "ignored")],
    ids=["answered", "refused"],
)
def test_how_a_request_ended_is_told_without_waiting_for_its_result(
    transport: Transport, request_: Request, outcome: Outcome
) -> None:
    told: Queue[tuple[float, Outcome]] = Queue()
    began_s = time.monotonic()
    pending = transport.send(request_)
    pending.when_answered(lambda *how: told.put(how))
    seconds, found = told.get(timeout=TIMEOUT_S)
    assert found == outcome
    assert 0 <= seconds <= time.monotonic() - began_s
    assert began_s <= pending.sent_s <= time.monotonic()
    assert told.empty()
    with suppress(RefusedError):
        pending.result()


@pytest.mark.parametrize(
    "x",
    [np.ones((MAX_BATCH + 1, 4), np.float32), np.ones((1, 5), np.float32), np.ones((1, 4), np.int64)],
    ids=["too large", "wrong shape", "wrong type"],
)
def test_a_batch_that_the_model_cannot_take_is_refused(transport: Transport, x: Array) -> None:
    with pytest.raises(RefusedError):
        transport.send(affine_request(x)).result()


@pytest.mark.parametrize(("model", "version"), [("missing", 1), ("affine", 7)])
def test_a_model_or_version_that_is_not_served_ends_the_job(transport: Transport, model: str, version: int) -> None:
    pending = transport.send(affine_request(np.ones((1, 4), np.float32), model=model, version=version))
    with pytest.raises(FatalError):
        pending.result()


def test_a_server_that_is_not_there_has_dropped_the_request(free_port: int) -> None:
    told: Queue[Outcome] = Queue()
    transport = GrpcTransport(f"127.0.0.1:{free_port}")
    transport.send(lookup(1)).when_answered(lambda _, outcome: told.put(outcome))
    assert told.get(timeout=TIMEOUT_S) == "dropped"
    transport.close()


def test_a_server_that_is_not_there_may_come_back(free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    transport = GrpcTransport(address)
    for failing in (transport.send(lookup(1)).result, lambda: transport.check_ready(TIMEOUT_S)):
        with pytest.raises(RetryableError, match=address):
            failing()
    transport.close()


def test_a_server_that_is_ready_says_so(transport: Transport) -> None:
    transport.check_ready(TIMEOUT_S)


def test_a_server_tells_what_it_serves(server: NodeServer) -> None:
    transport = GrpcTransport(server.grpc_url)
    transport.check_ready(TIMEOUT_S)
    assert {"affine", "each_type", "lookup"} <= set(transport.models(TIMEOUT_S))
    assert transport.versions("affine", TIMEOUT_S) == [1]
    assert transport.config("affine", 1, TIMEOUT_S).max_batch_size == MAX_BATCH
    with pytest.raises(FatalError):
        transport.versions("missing", TIMEOUT_S)
    transport.close()


def test_a_version_that_the_server_let_go_of_is_told_with_what_to_do(server: NodeServer) -> None:
    for version in (1, 2):
        repository = server.options.repository
        write_version(repository, "renewed", affine(), BATCHES + AFFINE + ONE_CPU, version=version)
        load_everywhere([server.grpc_url], "renewed", version)
    transport = GrpcTransport(server.grpc_url)
    one_row = np.ones((1, 4), np.float32)
    gone = f"version 1 of 'renewed' is no longer served by {server.grpc_url}; it serves 2"
    with pytest.raises(FatalError, match=gone):
        transport.send(affine_request(one_row, model="renewed", version=1)).result()
    with pytest.raises(FatalError, match=gone):
        transport.config("renewed", 1, TIMEOUT_S)
    transport.send(affine_request(one_row, model="renewed", version=2)).result()
    transport.close()


def test_requests_that_were_answered_are_counted(transport: Transport) -> None:
    before = settled(lambda: transport.queued("affine", 1))
    for _ in range(3):
        transport.send(Request("affine", 1, {"x": np.ones((2, 4), np.float32)}, ("total",))).result()
    after = settled(lambda: transport.queued("affine", 1))
    assert after.requests == before.requests + 3
    assert 0 <= after.seconds - before.seconds < TIMEOUT_S
