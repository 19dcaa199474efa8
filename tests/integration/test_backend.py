"""The `onnxruntime` backend inside a real server: its answers, its batches, its errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests.support import served_models
from tests.support.counts import settled_total
from tests.support.served_models import AFFINE, LOOKUP, ONE_CPU, tensors, write_version
from tests.support.triton import Array, infer, send, start
from triton_models.server.errors import BrokenModelError
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.tensors import DTYPES, Dtype

BATCHES = "max_batch_size: 8\ndynamic_batching { }\n"
# Long enough for requests that a test sends together to meet in one call of the backend.
WAITS_FOR_OTHERS = "max_batch_size: 8\ndynamic_batching { max_queue_delay_microseconds: 500000 }\n"


@pytest.fixture(scope="module")
def server(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    repository = tmp_path_factory.mktemp("models")
    each = "".join(
        tensors("input", f"x{place}", dtype.config.removeprefix("TYPE_"), [3])
        + tensors("output", f"y{place}", dtype.config.removeprefix("TYPE_"), [3])
        for place, dtype in enumerate(DTYPES)
    )
    all_types = served_models.identity([dtype.onnx for dtype in DTYPES])
    write_version(repository, "each_type", all_types, BATCHES + each + ONE_CPU)
    write_version(repository, "affine", served_models.affine(), BATCHES + AFFINE + ONE_CPU)
    write_version(repository, "lookup", served_models.table_lookup(), WAITS_FOR_OTHERS + LOOKUP + ONE_CPU)
    strings = tensors("input", "x0", "STRING", [-1]) + tensors("output", "y0", "STRING", [-1])
    text = served_models.identity([onnx.TensorProto.STRING], ("batch", "words"))
    write_version(repository, "text", text, WAITS_FOR_OTHERS + strings + ONE_CPU)
    scalar = tensors("input", "x0", "FP32", [1]) + tensors("output", "y0", "FP32", [1])
    write_version(repository, "scalar", served_models.identity([onnx.TensorProto.FLOAT], ()), scalar + ONE_CPU)
    moving = tensors("input", "x0", "FP32", [-1, 2]) + tensors("output", "y0", "FP32", [-1, 2])
    write_version(repository, "moving", served_models.identity([onnx.TensorProto.FLOAT], ("rows", 2)), moving + ONE_CPU)
    with start(runtime, repository) as server:
        yield server


@pytest.fixture
def client(server: NodeServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.grpc_url) as client:
        yield client


def values_of(dtype: Dtype) -> Array:
    """Two rows with the ends of the type's range."""
    if dtype.triton == "BYTES":
        return np.array([[b"", b"caf\xc3\xa9", b"\xe6\xbc\xa2"], [b"a", b"b" * 300, b"c d"]], np.object_)
    if dtype.triton == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    limits = np.iinfo(dtype.numpy.name) if dtype.numpy.kind in "iu" else np.finfo(dtype.numpy.name)
    return np.array([[limits.min, 0, limits.max], [1, 2, 3]], dtype.numpy)


def test_every_type_comes_back_unchanged(client: InferenceServerClient) -> None:
    arrays = {f"x{place}": values_of(dtype) for place, dtype in enumerate(DTYPES)}
    answer = infer(client, "each_type", (), **arrays)
    for place, dtype in enumerate(DTYPES):
        assert answer[f"y{place}"].dtype == dtype.numpy, dtype
        np.testing.assert_array_equal(answer[f"y{place}"], arrays[f"x{place}"], err_msg=dtype.triton)


def test_answers_are_those_of_onnxruntime_in_process(client: InferenceServerClient) -> None:
    rows = np.random.default_rng(7).normal(size=(5, 4)).astype(np.float32)
    session = ort.InferenceSession(served_models.affine().SerializeToString(), providers=["CPUExecutionProvider"])
    scaled, total = session.run(["scaled", "total"], {"x": rows})
    answer = infer(client, "affine", x=rows)
    np.testing.assert_array_equal(answer["scaled"], scaled)
    np.testing.assert_array_equal(answer["total"], total)


def test_only_requested_outputs_are_answered(client: InferenceServerClient) -> None:
    assert list(infer(client, "affine", ("total",), x=np.ones((2, 4), np.float32))) == ["total"]


def test_a_request_without_rows_is_refused_by_the_server(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="byte size mismatch"):
        infer(client, "affine", x=np.ones((0, 4), np.float32))


def test_an_axis_without_length_comes_back(client: InferenceServerClient) -> None:
    assert infer(client, "moving", x0=np.empty((0, 2), np.float32))["y0"].shape == (0, 2)


def test_a_scalar_travels_as_one_element(client: InferenceServerClient) -> None:
    np.testing.assert_array_equal(infer(client, "scalar", x0=np.array([3.5], np.float32))["y0"], [3.5])


def test_requests_that_wait_together_share_one_run(server: NodeServer, client: InferenceServerClient) -> None:
    before = lookups(server)
    futures = [send(client, "lookup", ids=np.array([[row], [row + 1]])) for row in range(4)]
    for row, future in enumerate(futures):
        vectors = future.result(timeout=60).as_numpy("vector")
        np.testing.assert_array_equal(vectors[:, 0], [[2 * row, 2 * row + 1], [2 * row + 2, 2 * row + 3]])
    assert lookups(server) == (before[0] + 8, before[1] + 1)


def test_a_bad_request_does_not_harm_its_neighbours(server: NodeServer, client: InferenceServerClient) -> None:
    before = lookups(server)
    futures = [send(client, "lookup", ids=np.array([[row]])) for row in (0, 1, 999, 3)]
    with pytest.raises(InferenceServerException, match="out of data bounds") as refused:
        futures.pop(2).result(timeout=60)
    for row, future in zip((0, 1, 3), futures, strict=True):
        np.testing.assert_array_equal(future.result(timeout=60).as_numpy("vector"), [[[2 * row, 2 * row + 1]]])
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "/" not in refused.value.message()
    assert "Traceback" not in refused.value.message()
    # All four met in one call of the backend, otherwise this test would have shown nothing.
    assert lookups(server)[1] == before[1] + 1


def test_text_that_is_not_utf8_fails_its_own_request(client: InferenceServerClient) -> None:
    bad = send(client, "text", x0=np.array([[b"\xff"]], np.object_))
    good = send(client, "text", x0=np.array([[b"fine"]], np.object_))
    with pytest.raises(InferenceServerException, match="utf-8"):
        bad.result(timeout=60)
    assert good.result(timeout=60).as_numpy("y0").tolist() == [[b"fine"]]


def test_text_of_no_words_comes_back(client: InferenceServerClient) -> None:
    assert infer(client, "text", x0=np.empty((2, 0), np.object_))["y0"].shape == (2, 0)


def test_an_incomplete_config_is_completed(runtime: Runtime, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    write_version(repository, "bare", served_models.affine(), ONE_CPU)
    flat = served_models.identity([onnx.TensorProto.FLOAT], ("batch",))
    write_version(repository, "flat", flat, ONE_CPU)
    with start(runtime, repository) as server, InferenceServerClient(server.grpc_url) as client:
        config = client.get_model_config("bare").config
        assert config.max_batch_size == 4
        assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("x", [4])]
        assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("scaled", [4]), ("total", [1])]
        np.testing.assert_array_equal(infer(client, "bare", x=np.ones((3, 4), np.float32))["total"], [[4]] * 3)
        np.testing.assert_array_equal(infer(client, "flat", x0=np.ones((3, 1), np.float32))["y0"], [[1]] * 3)


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("TYPE_FP32 dims: [4]", "TYPE_FP16 dims: [4]", "configuration expects datatype TYPE_FP16 for input 'x'"),
        ("TYPE_FP32 dims: [4]", "TYPE_FP32 dims: [5]", r"the model expects 2 dimensions \(shape \[-1,4\]\)"),
        ('"total"', '"sum"', "unexpected output 'sum', the model has 'scaled', 'total'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    runtime: Runtime, tmp_path: Path, right: str, wrong: str, reason: str
) -> None:
    repository = tmp_path / "models"
    write_version(repository, "affine", served_models.affine(), BATCHES + AFFINE.replace(right, wrong, 1) + ONE_CPU)
    with pytest.raises(BrokenModelError, match=reason) as refused:
        start(runtime, repository)
    assert str(refused.value).startswith("affine version 1 cannot be loaded: unable to load model 'affine', ")
    assert ".py" not in str(refused.value)


def test_a_gpu_instance_is_refused_without_a_gpu(runtime: Runtime, tmp_path: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a GPU")
    repository = tmp_path / "models"
    gpu = "instance_group [{ kind: KIND_GPU count: 1 }]\n"
    write_version(repository, "affine", served_models.affine(), BATCHES + AFFINE + gpu)
    with pytest.raises(BrokenModelError, match="GPU"):
        start(runtime, repository)


def lookups(server: NodeServer) -> tuple[float, float]:
    """Rows that `lookup` has answered, and runs of it."""
    names = ("nv_inference_count", "nv_inference_exec_count")
    rows, runs = (settled_total(server.metrics_url, name, model="lookup") for name in names)
    return rows, runs
