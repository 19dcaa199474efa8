"""ONNX files with weights large enough to be worth lowering, and with known weaknesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

WIDTH = 96
Weights = Mapping[str, NDArray[np.generic]]


def random_matrix(seed: int, inputs: int = WIDTH, outputs: int = WIDTH) -> NDArray[np.float32]:
    """Weights that keep the size of what they are multiplied with."""
    drawn = np.random.default_rng(seed).standard_normal((inputs, outputs)) / np.sqrt(inputs)
    matrix: NDArray[np.float32] = drawn.astype(np.float32)
    return matrix


def rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    """Inputs [count, WIDTH] from a normal distribution."""
    return np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)


def write_model(path: Path, nodes: Sequence[NodeProto], weights: Weights, *, opset: int = 20) -> Path:
    """A file with `x` float32 [batch, WIDTH] and `y` float32."""
    graph = helper.make_graph(
        nodes,
        "weighty",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def layers(path: Path, count: int = 4, opset: int = 20) -> Path:
    """`count` matrices with a tanh behind each."""
    nodes, last = [], "x"
    for index in range(count):
        out = "y" if index == count - 1 else f"h{index}"
        nodes.append(helper.make_node("MatMul", [last, f"w{index}"], [f"p{index}"], f"product_{index}"))
        nodes.append(helper.make_node("Tanh", [f"p{index}"], [out], f"tanh_{index}"))
        last = out
    return write_model(path, nodes, {f"w{index}": random_matrix(index) for index in range(count)}, opset=opset)


def overflowing(path: Path) -> Path:
    """A product, times a million, and back: 32-bit floats do not notice, 16-bit floats become infinite."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], "product"),
        helper.make_node("Mul", ["p", "million"], ["large"], "up"),
        helper.make_node("Mul", ["large", "millionth"], ["small"], "down"),
        helper.make_node("MatMul", ["small", "v"], ["y"], "second"),
    ]
    constants: Weights = {"million": np.array([1e6], np.float32), "millionth": np.array([1e-6], np.float32)}
    return write_model(path, nodes, {"w": random_matrix(0), "v": random_matrix(1), **constants})


def far_off(path: Path) -> Path:
    """Every number is moved by two thousand and the weights do not notice: 8 bits see how far, and little else."""
    weight = random_matrix(0)
    weight -= weight.mean(axis=0)
    nodes = [
        helper.make_node("Add", ["x", "far"], ["moved"], "move"),
        helper.make_node("MatMul", ["moved", "w"], ["y"], "product"),
    ]
    return write_model(path, nodes, {"w": weight, "far": np.full(WIDTH, 2e3, np.float32)})
