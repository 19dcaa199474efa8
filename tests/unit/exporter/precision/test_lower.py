"""Files in, files out: what is lowered, what stays, what is refused, and that a refusal leaves everything as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from exporter.errors import ExportError, ParityError
from exporter.exported import Exported
from exporter.precision.files import bytes_of, data_files, read, write
from exporter.precision.half import write_half
from exporter.precision.lower import lower
from tests.support.weighty_models import WIDTH, Weights, far_off, layers, overflowing, random_matrix, rows, write_model

PROBES = [{"x": rows(4)}]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    folder = tmp_path / "staging" / "version"
    folder.mkdir(parents=True)
    return folder


def within(version: Path, smallest_cosine: float) -> Callable[[Path], None]:
    """Accepts candidates whose every row points nearly where that of the 32-bit file pointed."""
    asked = {"x": rows(16, seed=1)}
    wanted = Exported(version / "model.onnx").answers(asked)["y"].astype(np.float32)

    def accept(path: Path) -> None:
        found = Exported(path).answers(asked)["y"].astype(np.float32)
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
        cosine = ((found * wanted).sum(axis=1) / np.maximum(norms, 1e-9)).min()
        if not cosine >= smallest_cosine:
            raise ParityError(f"cosine {cosine:.3f}")

    return accept


@pytest.mark.parametrize(("precision", "share"), [("fp16", 0.55), ("bf16", 0.55), ("int8", 0.35)])
def test_the_lowered_model_takes_the_place_of_the_original(version: Path, precision: str, share: float) -> None:
    original = layers(version / "model.onnx").read_bytes()
    lowered = lower(version, precision, within(version, 0.999), PROBES, [])

    assert bytes_of(version / "model.onnx") < share * len(original)
    assert lowered.original == version.parent / "fp32" / "model.onnx"
    assert lowered.original.read_bytes() == original
    assert {path.name for path in version.parent.iterdir()} == {"version", "fp32"}
    assert [path.name for path in version.iterdir()] == ["model.onnx"]
    graph = onnx.load(version / "model.onnx").graph
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_weights_in_a_file_of_their_own_move_along(version: Path, precision: str) -> None:
    write(read(layers(version / "whole.onnx")), version / "model.onnx", largest_inline_bytes=0)
    (version / "whole.onnx").unlink()
    lowered = lower(version, precision, within(version, 0.999), PROBES, [])

    assert [path.name for path in data_files(lowered.original)] == ["model.onnx.data"]
    assert bytes_of(lowered.original) > bytes_of(version / "model.onnx")
    Exported(lowered.original).answers(PROBES[0])
    assert {path.name for path in version.iterdir()} == {"model.onnx"}


def test_large_16_bit_weights_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    to = tmp_path / "half" / "model.onnx"
    write_half(layers(tmp_path / "model.onnx"), to, (), largest_inline_bytes=0)
    assert [path.name for path in data_files(to)] == ["model.onnx.data"]
    Exported(to).answers(PROBES[0])


def test_what_overflows_16_bits_stays_32_bit_and_is_named(version: Path) -> None:
    overflowing(version / "model.onnx")
    lowered = lower(version, "fp16", within(version, 0.999), PROBES, [])
    assert set(lowered.kept_fp32) == {"up", "down"}


def test_bfloat16_weights_name_the_operators_that_compute_in_32_bits(version: Path) -> None:
    layers(version / "model.onnx")
    assert lower(version, "bf16", within(version, 0.999), PROBES, []).kept_fp32 == ("MatMul",)


def test_the_node_that_loses_most_stays_32_bit_and_is_named(version: Path) -> None:
    far, weight = np.full(WIDTH, 2e3, np.float32), random_matrix(1)
    weight -= weight.mean(axis=0)
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["p"], "harmless"),
        helper.make_node("Add", ["p", "far"], ["moved"], "move"),
        helper.make_node("MatMul", ["moved", "w1"], ["q"], "hurt"),
        helper.make_node("MatMul", ["q", "w2"], ["y"], "harmless_too"),
    ]
    weights = {"w0": random_matrix(0), "w1": weight, "w2": random_matrix(2), "far": far}
    write_model(version / "model.onnx", nodes, weights)
    assert lower(version, "int8", within(version, 0.999), PROBES, []).kept_fp32 == ("hurt",)


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_a_refused_model_is_left_as_it_was(version: Path, precision: str) -> None:
    original = far_off(version / "model.onnx").read_bytes()
    with pytest.raises(ParityError, match="cosine"):
        lower(version, precision, within(version, 1.1), PROBES, [])
    assert (version / "model.onnx").read_bytes() == original
    assert [path.name for path in version.parent.rglob("*")] == ["version", "model.onnx"]


def test_numbers_that_8_bits_cannot_carry_are_refused(version: Path) -> None:
    far_off(version / "model.onnx")
    with pytest.raises(ParityError, match="cosine"):
        lower(version, "int8", within(version, 0.98), PROBES, [])


@pytest.mark.parametrize(
    ("precision", "reason"),
    [
        ("int8", r"MatMul, Gemm, Gather and Conv .* this model has none \(its constants belong to Mul\)"),
        ("bf16", "large weights in 16 bits, and this model has none"),
        ("fp16", r"fp16 does not make this model smaller \([\d,]+ bytes become [\d,]+\); use --precision fp32"),
    ],
)
def test_a_model_without_large_weights_is_refused(version: Path, precision: str, reason: str) -> None:
    scale = np.array([0.5], np.float32)
    write_model(version / "model.onnx", [helper.make_node("Mul", ["x", "scale"], ["y"])], {"scale": scale})
    with pytest.raises(ExportError, match=reason):
        lower(version, precision, within(version, 0.99), PROBES, [])


def test_convolutions_alone_ask_for_calibration(version: Path) -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "image"], ["pixels"]),
        helper.make_node("Conv", ["pixels", "filters"], ["seen"], "look", kernel_shape=[3, 3]),
        helper.make_node("ReduceMean", ["seen", "places"], ["y"], keepdims=0),
    ]
    weights: Weights = {
        "image": np.array([-1, 6, 4, 4], np.int64),
        "filters": random_matrix(0, 96, 54).reshape(96, 6, 3, 3),
        "places": np.array([2, 3], np.int64),
    }
    write_model(version / "model.onnx", nodes, weights)
    with pytest.raises(ExportError, match="needs --calibration"):
        lower(version, "int8", within(version, 0.98), PROBES, [])
    lowered = lower(version, "int8", within(version, 0.98), PROBES, [{"x": rows(64)}])
    assert lowered.kept_fp32 == ()
    assert bytes_of(version / "model.onnx") < 0.6 * bytes_of(lowered.original)
