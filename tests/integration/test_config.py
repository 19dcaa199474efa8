"""Configs as they are written: a real server takes them, warms up with them, and serves the rows that they declare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import onnx
import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ray_pipeline.errors import FatalError
from ray_pipeline.prepare.rows import prepare
from ray_pipeline.scoring.actor import Scorer, Scoring
from tests.support.chunks import read_table
from tests.support.job_models import X, Y, tensor_model
from tests.support.served_models import centred, identity
from tests.support.triton import Array, infer, start
from triton_models.config.cautions import cautions
from triton_models.config.model import model_config
from triton_models.config.pbtxt import to_pbtxt
from triton_models.config.tensors import differences, inputs_of, outputs_of
from triton_models.config.tuning import Tuning
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.tensors import DTYPES, TensorSpec

ONNX_TYPES = [dtype.onnx for dtype in DTYPES]
MAX_BATCH = 32
TIMEOUT_S = 30.0


def each_type(letter: str, row: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"{letter}{place}", dtype.triton, row) for place, dtype in enumerate(DTYPES))


def with_each_type(name: str, row: tuple[int, ...], max_batch_size: int, tuning: Tuning | None = None) -> ModelConfig:
    inputs, outputs = each_type("x", row), each_type("y", row)
    shapes = {tensor.name: tuple(2 if size == -1 else size for size in row) for tensor in inputs}
    return model_config(name, inputs, outputs, max_batch_size, tuning or Tuning(), warm_up=[shapes])


CONFIGS = {
    "rows": with_each_type("rows", (-1, 3), MAX_BATCH),
    "scalars": with_each_type("scalars", (), MAX_BATCH, Tuning(("cpu",), instances=2, threads=1)),
    "alone": with_each_type("alone", (-1, 3), 0),
    "scalars_alone": with_each_type("scalars_alone", (), 0),
    "centred": model_config("centred", (X,), (Y,), 0, warm_up=[{"x": ()}]),
}
MODELS = {
    "rows": identity(ONNX_TYPES, ("rows", "moving", 3)),
    "scalars": identity(ONNX_TYPES, ("rows",)),
    "alone": identity(ONNX_TYPES, ("rows", "moving", 3)),
    "scalars_alone": identity(ONNX_TYPES, ("rows",)),
    "centred": centred(),
}


@pytest.fixture(scope="module")
def server(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeServer]:
    repository = tmp_path_factory.mktemp("configs") / "models"
    for name, config in CONFIGS.items():
        (repository / name / "1").mkdir(parents=True)
        onnx.save(MODELS[name], repository / name / "1" / "model.onnx")
        (repository / name / "config.pbtxt").write_text(to_pbtxt(config))
    with start(runtime, repository) as server:
        yield server


@pytest.fixture
def client(server: NodeServer) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.grpc_url) as client:
        yield client


@pytest.mark.parametrize("name", CONFIGS)
def test_a_live_config_says_what_was_written(client: InferenceServerClient, name: str) -> None:
    live, written = client.get_model_config(name).config, CONFIGS[name]
    assert (inputs_of(live), outputs_of(live)) == (inputs_of(written), outputs_of(written))
    assert differences(live, written) == differences(written, live) == []
    assert cautions(live) == []
    assert [group.count for group in live.instance_group] == [group.count for group in written.instance_group]
    assert live.model_warmup == written.model_warmup


@pytest.mark.parametrize(("name", "sizes"), [("rows", {1, 8}), ("scalars", {1, 8}), ("alone", {1}), ("centred", {1})])
def test_the_usual_batches_ran_before_the_model_was_ready(
    client: InferenceServerClient, name: str, sizes: set[int]
) -> None:
    (seen,) = client.get_inference_statistics(name).model_stats
    instances = CONFIGS[name].instance_group[0].count
    assert {batch.batch_size for batch in seen.batch_stats} == sizes
    # And one request of the server's own start, which asks every model once.
    assert sum(batch.compute_infer.count for batch in seen.batch_stats) >= 2 * instances + 1


@pytest.mark.parametrize(
    ("name", "shape"), [("rows", (5, 2, 3)), ("scalars", (5, 1)), ("alone", (5, 2, 3)), ("scalars_alone", (5, 1))]
)
def test_rows_of_every_type_come_back_as_they_went(
    client: InferenceServerClient, name: str, shape: Sequence[int]
) -> None:
    sent = {tensor.name: ones(tensor, shape) for tensor in inputs_of(CONFIGS[name])}
    answers = infer(client, name, (), **sent)
    assert {tensor: (array.tolist(), array.shape) for tensor, array in answers.items()} == {
        tensor.replace("x", "y"): (array.tolist(), array.shape) for tensor, array in sent.items()
    }


def ones(tensor: TensorSpec, shape: Sequence[int]) -> Array:
    if tensor.dtype == "BYTES":
        return np.full(shape, b"one", np.object_)
    return np.ones(shape, tensor.numpy)


def test_a_request_of_an_unbatched_model_is_answered_as_a_whole(client: InferenceServerClient) -> None:
    found = infer(client, "centred", x=np.array([[1.0], [2.0], [6.0]], np.float32))
    assert found["y"].tolist() == [[-2.0], [-1.0], [3.0]]


def test_a_job_asks_an_unbatched_model_for_one_row_at_a_time(server: NodeServer) -> None:
    model = replace(tensor_model("centred"), max_batch_size=0)
    table = prepare(read_table({"id": [1, 2, 3], "x": [1.0, 2.0, 6.0]}), [model], ["id"])
    scored = Scorer([model], lambda: server.grpc_url, Scoring(TIMEOUT_S))(table)
    assert scored["y"].to_pylist() == [0.0, 0.0, 0.0]


def test_a_model_that_the_server_batches_unlike_its_card_is_not_scored(server: NodeServer) -> None:
    table = read_table({"x": [1.0]})
    batched = tensor_model("centred")
    with pytest.raises(FatalError, match=r"'centred' on .* takes no batches, unlike its card"):
        Scorer([batched], lambda: server.grpc_url, Scoring(TIMEOUT_S))(prepare(table, [batched], []))
    alone = replace(tensor_model("scalars", inputs=inputs_of(CONFIGS["scalars"]), outputs=()), max_batch_size=0)
    with pytest.raises(FatalError, match=r"'scalars' on .* puts requests together, unlike its card"):
        Scorer([alone], lambda: server.grpc_url, Scoring(TIMEOUT_S))(table)
