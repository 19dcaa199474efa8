"""Small models with known answers, and the repositories that they are served from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

OPSET = 17
IR_VERSION = 8  # the oldest that holds this opset: every server can read it

Shape = Sequence[int | str]


def identity(element_types: Sequence[int], shape: Shape = ("batch", 3)) -> onnx.ModelProto:
    """`y0 = x0`, `y1 = x1` and so on, one pair for each element type."""
    places = range(len(element_types))
    return _model(
        [helper.make_node("Identity", [f"x{place}"], [f"y{place}"]) for place in places],
        inputs=[helper.make_tensor_value_info(f"x{place}", element_types[place], shape) for place in places],
        outputs=[helper.make_tensor_value_info(f"y{place}", element_types[place], shape) for place in places],
    )


def affine(rounds: int = 0) -> onnx.ModelProto:
    """`scaled = 2 * x` and `total = sum of the row's x`, float32; the sum times 1 so often, a few us each time."""
    return _model(
        [
            helper.make_node("Add", ["x", "x"], ["scaled"]),
            helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
            helper.make_node("Loop", ["rounds", "", "sum"], ["total"], body=_multiplying(1)),
        ],
        inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        outputs=[
            helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["batch", 1]),
        ],
        constants=[
            helper.make_tensor("axes", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("rounds", TensorProto.INT64, [], [rounds]),
            helper.make_tensor("weights", TensorProto.FLOAT, [1, 1], [1.0]),
        ],
    )


def table_lookup(rows: int = 10) -> onnx.ModelProto:
    """`vector = table[ids]`, int64 to float32: an id outside 0..rows-1 fails when the model runs."""
    return _model(
        [helper.make_node("Gather", ["table", "ids"], ["vector"])],
        inputs=[helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 1])],
        outputs=[helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 1, 2])],
        constants=[helper.make_tensor("table", TensorProto.FLOAT, [rows, 2], [float(i) for i in range(2 * rows)])],
    )


def centred() -> onnx.ModelProto:
    """`y = x - the mean of x over the rows of the request`, float32, a number for each row."""
    return _model(
        [
            helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["x", "mean"], ["y"]),
        ],
        inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows"])],
        outputs=[helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])],
    )


def slow(rounds: int, width: int = 256) -> onnx.ModelProto:
    """`y = x @ 0 @ 0 ...`, `rounds` times: about 60 us a round and four rows on one core."""
    matrix: Shape = ("batch", width)
    return _model(
        [helper.make_node("Loop", ["rounds", "", "x"], ["y"], body=_multiplying(width))],
        inputs=[helper.make_tensor_value_info("x", TensorProto.FLOAT, matrix)],
        outputs=[helper.make_tensor_value_info("y", TensorProto.FLOAT, matrix)],
        constants=[
            helper.make_tensor("rounds", TensorProto.INT64, [], [rounds]),
            helper.make_tensor("weights", TensorProto.FLOAT, [width, width], [0.0] * width * width),
        ],
    )


def write_version(repository: Path, name: str, model: onnx.ModelProto, config: str, version: int = 1) -> Path:
    """Writes a model and the text of its `config.pbtxt` into a repository; returns the model's folder."""
    folder = repository / name
    (folder / str(version)).mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / str(version) / "model.onnx")
    (folder / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "onnxruntime"\n{config}')
    return folder


WAITS = """
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            time.sleep(SECONDS)
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]))
        return answers
"""
"""`y = x` after a while, as of a device that computes by itself. SECONDS is to be replaced."""

LETHAL = """
import os
import signal
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            if (x < 0).any():
                os.kill(os.getppid(), signal.SIGKILL)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]))
        return answers
"""
"""`y = x`; the whole server dies of a number below 0."""


def write_python_version(repository: Path, name: str, code: str, config: str) -> None:
    """Writes version 1 of a model that is a program, with the text of its `config.pbtxt`."""
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(code)
    (folder.parent / "config.pbtxt").write_text(f'name: "{name}"\nbackend: "python"\n{config}')


def tensors(direction: str, name: str, data_type: str, dims: Sequence[int]) -> str:
    """One `input` or `output` entry of a `config.pbtxt`."""
    return f'{direction} [{{ name: "{name}" data_type: TYPE_{data_type} dims: {list(dims)} }}]\n'


ONE_CPU = "instance_group [{ kind: KIND_CPU count: 1 }]\n"
AFFINE = "".join(
    [
        tensors("input", "x", "FP32", [4]),
        tensors("output", "scaled", "FP32", [4]),
        tensors("output", "total", "FP32", [1]),
    ]
)
LOOKUP = tensors("input", "ids", "INT64", [1]) + tensors("output", "vector", "FP32", [1, 2])


def _multiplying(width: int) -> onnx.GraphProto:
    """The body of a loop that multiplies its state, [batch, width], by `weights`, [width, width]."""
    matrix: Shape = ("batch", width)
    return helper.make_graph(
        [
            helper.make_node("Identity", ["keep_going"], ["still_going"]),
            helper.make_node("MatMul", ["state", "weights"], ["next_state"]),
        ],
        "body",
        inputs=[
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("keep_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, matrix),
        ],
        outputs=[
            helper.make_tensor_value_info("still_going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next_state", TensorProto.FLOAT, matrix),
        ],
    )


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "small", inputs, outputs, initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model
