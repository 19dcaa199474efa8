from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper

from exporter.exported import Exported
from exporter.precision.files import bytes_of
from exporter.precision.rows import LEVELS, MIDDLE, WEIGHT_LEVELS, candidates, quantize_rows, rounded
from tests.support.weighty_models import WIDTH, layers, random_matrix, rows, write_model

Floats = NDArray[np.float32]


def quantized(path: Path, kept: tuple[str, ...] = ()) -> Path:
    model = ir.load(path)
    quantize_rows(model, kept)
    to = path.with_name("int8.onnx")
    ir.save(model, to)
    onnx.checker.check_model(to)
    return to


def answer(path: Path, x: Floats) -> Floats:
    return Exported(path).answers({"x": x})["y"].astype(np.float32)


def relative_error(found: Floats, wanted: Floats) -> float:
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_products_in_8_bits_answer_nearly_alike_and_weigh_less(tmp_path: Path, opset: int) -> None:
    path = layers(tmp_path / "model.onnx", opset=opset)
    lowered = quantized(path)
    assert bytes_of(lowered) < 0.35 * bytes_of(path)
    assert 0 < relative_error(answer(lowered, rows(8)), answer(path, rows(8))) < 0.03


def test_a_row_is_answered_alike_whatever_its_neighbours_are(tmp_path: Path) -> None:
    lowered = quantized(layers(tmp_path / "model.onnx"))
    batch = rows(5)
    batch[1] *= 1e4
    np.testing.assert_allclose(answer(lowered, batch)[:1], answer(lowered, batch[:1]), rtol=1e-5, atol=1e-6)


def test_a_row_of_zeros_stays_zero(tmp_path: Path) -> None:
    assert not answer(quantized(layers(tmp_path / "model.onnx", 1)), np.zeros((2, WIDTH), np.float32)).any()


def test_a_kept_node_is_left_alone(tmp_path: Path) -> None:
    lowered = onnx.load(quantized(layers(tmp_path / "model.onnx"), kept=("product_1", "product_3")))
    assert [node.name for node in lowered.graph.node if node.op_type == "MatMul"] == ["product_1", "product_3"]
    assert {tensor.name for tensor in lowered.graph.initializer} >= {"w1", "w3", "w0_int8", "w2_int8"}


def test_a_matrix_that_is_shared_is_stored_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], "first"),
        helper.make_node("Gemm", ["p", "w", "b"], ["q"], "second", transB=1),
        helper.make_node("MatMul", ["x", "w"], ["r"], "third"),
        helper.make_node("Add", ["q", "r"], ["y"], "sum"),
    ]
    weights = {"w": random_matrix(0), "b": np.arange(WIDTH, dtype=np.float32)}
    path = write_model(tmp_path / "model.onnx", nodes, weights)
    lowered = quantized(path)
    names = [tensor.name for tensor in onnx.load(lowered).graph.initializer]
    assert len([name for name in names if name.startswith("w") and name.endswith("int8")]) == 2  # and its transpose
    assert "w" not in names
    # The rows of x are quantised once for both of their products.
    assert [node.op_type for node in onnx.load(lowered).graph.node].count("QuantizeLinear") == 2
    assert relative_error(answer(lowered, rows(4)), answer(path, rows(4))) < 0.03


def test_tables_are_looked_up_in_bytes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ArgMax", ["x"], ["largest"], "largest", axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "largest"], ["y"], "look_up"),
    ]
    table = random_matrix(0, WIDTH, 64) * np.float32(1000)
    path = write_model(tmp_path / "model.onnx", nodes, {"table": table})
    lowered = quantized(path)
    assert relative_error(answer(lowered, rows(16)), answer(path, rows(16))) < 0.01


def test_what_cannot_be_lowered_is_no_candidate(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["halved"], "scaled", alpha=0.5),
        helper.make_node("MatMul", ["halved", "few"], ["narrow"], "small"),
        helper.make_node("Transpose", ["w"], ["turned"], "turn"),
        helper.make_node("MatMul", ["x", "turned"], ["wide"], "moving"),
        helper.make_node("MatMul", ["wide", "few"], ["other"], "small_too"),
        helper.make_node("Add", ["narrow", "other"], ["y"], "sum"),
    ]
    path = write_model(tmp_path / "model.onnx", nodes, {"w": random_matrix(0), "few": random_matrix(1, WIDTH, 4)})
    assert candidates(ir.load(path)) == []


def test_nodes_without_names_can_be_told_apart(tmp_path: Path) -> None:
    path = layers(tmp_path / "model.onnx")
    model = ir.load(path)
    for node in model.graph:
        node.name = None
    assert [node.name for node in candidates(model)] == ["MatMul_0", "MatMul_2", "MatMul_4", "MatMul_6"]


def test_bytes_times_scales_are_the_weight() -> None:
    weight = random_matrix(0)
    weight[:, 3] = 0
    codes, scales = rounded(weight, axis=0)
    assert codes.dtype == np.int8
    assert np.abs(codes).max() == 127
    assert np.abs(codes * scales - weight).max() <= scales.max() / 2 * 1.001


def test_two_products_of_bytes_fit_into_16_bits_where_a_processor_adds_them_so(tmp_path: Path) -> None:
    assert np.iinfo(np.int16).max >= 2 * (MIDDLE + LEVELS) * WEIGHT_LEVELS
    model = ir.load(layers(tmp_path / "model.onnx"))
    quantize_rows(model)
    assert {largest_byte(value) for name, value in model.graph.initializers.items() if name.endswith("_int8")} == {
        WEIGHT_LEVELS
    }


def largest_byte(value: ir.Value) -> int:
    assert value.const_value is not None
    return int(np.abs(value.const_value.numpy()).max())
