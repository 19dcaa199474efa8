from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporter.graph.engines import keeps_engines, name_by_content
from triton_models.config.model import model_config
from triton_models.config.tuning import Tuning
from triton_models.tensors import TensorSpec

X = TensorSpec("x", "FP32", (3,))
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def written(path: Path, weight: float, *, beside: bool = False) -> Path:
    """`y = relu(relu(x @ w) + bias)`, the last steps in both branches of a condition."""
    inner = [
        helper.make_graph(
            [helper.make_node("Add", ["hidden", "bias"], ["sum"]), helper.make_node("Relu", ["sum"], ["branch"])],
            name,
            [],
            [helper.make_tensor_value_info("branch", TensorProto.FLOAT, ["batch", 3])],
        )
        for name in ("then", "else")
    ]
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"]),
            helper.make_node("Relu", ["product"], ["hidden"]),
            helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
            helper.make_node("Cast", ["largest"], ["condition"], to=TensorProto.BOOL),
            helper.make_node("If", ["condition"], ["y"], then_branch=inner[0], else_branch=inner[1]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        initializer=[
            numpy_helper.from_array(np.full((3, 3), weight, np.float32), "w"),
            numpy_helper.from_array(np.full(3, weight, np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=beside, location=f"{path.name}.data", size_threshold=0)
    return path


def inner_names(path: Path) -> set[str]:
    graph = onnx.load(path, load_external_data=False).graph
    branches = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    names = {name for part in (graph, *branches) for node in part.node for name in node.output}
    return (names | {tensor.name for tensor in graph.initializer}) - {"y", "branch"}


def answer(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    (found,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"x": ROWS})
    return np.asarray(found, np.float32)


@pytest.mark.parametrize("beside", [False, True])
def test_versions_of_one_architecture_share_no_inner_name(tmp_path: Path, beside: bool) -> None:
    paths = [written(tmp_path / f"{weight}.onnx", weight, beside=beside) for weight in (1.0, 2.0)]
    assert inner_names(paths[0]) == inner_names(paths[1])
    answers = [answer(path) for path in paths]
    for path in paths:
        name_by_content(path)
    assert not inner_names(paths[0]) & inner_names(paths[1])
    for path, before in zip(paths, answers, strict=True):
        onnx.checker.check_model(path)
        np.testing.assert_array_equal(answer(path), before)


def test_equal_content_has_equal_names_so_that_its_engine_is_found_again(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.onnx", 1.0) for number in range(2)]
    for path in paths:
        name_by_content(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_weights_beside_the_graph_stay_there(tmp_path: Path) -> None:
    path = written(tmp_path / "model.onnx", 1.0, beside=True)
    weights = (tmp_path / "model.onnx.data").read_bytes()
    name_by_content(path)
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert (tmp_path / "model.onnx.data").read_bytes() == weights
    assert len(path.read_bytes()) < 2000


@pytest.mark.parametrize(
    ("tuning", "kept"),
    [
        (Tuning(), False),
        (Tuning(("cuda",)), False),
        (Tuning(("cpu", "tensorrt")), True),
        (
            Tuning(
                ("tensorrt",),
                settings=(
                    "optimization.execution_accelerators.gpu_execution_accelerator[0].parameters."
                    "trt_engine_cache_enable=0",
                ),
            ),
            False,
        ),
    ],
)
def test_only_servers_that_keep_engines_need_it(tuning: Tuning, kept: bool) -> None:
    assert keeps_engines(model_config("small", (X,), (X,), 8, tuning)) is kept
