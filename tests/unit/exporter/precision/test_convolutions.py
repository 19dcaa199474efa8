"""8-bit convolutions: what their weights may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from exporter.exported import Exported
from exporter.precision.convolutions import write_static
from exporter.precision.rows import WEIGHT_LEVELS
from tests.support.served_models import Shape

CHANNELS, SIDE = 32, 6
WHITE = {"x": np.ones((1, CHANNELS, SIDE, SIDE), np.float32)}


def write_sums(path: Path) -> Path:
    """A convolution that adds up all channels of a point and its neighbours; every weight is the largest one."""
    weight = numpy_helper.from_array(np.ones((CHANNELS, CHANNELS, 3, 3), np.float32), "w")
    shape: Shape = ["batch", CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "sums", pads=[1, 1, 1, 1])],
        "sums",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_sums_of_the_largest_bytes_are_right_on_every_processor(tmp_path: Path) -> None:
    path = write_sums(tmp_path / "model.onnx")
    write_static(path, tmp_path / "int8.onnx", [WHITE], ())
    stored = onnx.load(tmp_path / "int8.onnx").graph.initializer
    bytes_of_weights = [numpy_helper.to_array(one) for one in stored if one.data_type == TensorProto.INT8]
    assert max(np.abs(array.astype(int)).max() for array in bytes_of_weights) <= WEIGHT_LEVELS
    wanted, found = (Exported(one).answers(WHITE)["y"].astype(float) for one in (path, tmp_path / "int8.onnx"))
    np.testing.assert_allclose(found, wanted, rtol=0.02)
