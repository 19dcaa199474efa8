from __future__ import annotations

from pathlib import Path

import pytest

from exporter.exported import Exported
from exporter.limits import limits
from exporter.precision.files import bytes_of, read, write
from exporter.precision.rows import quantize_rows
from exporter.proofs.asked import Asked
from exporter.proofs.speed import figures, rows_per_s
from exporter.sources.base import Case
from tests.support.weighty_models import WIDTH, layers, rows
from triton_models.tensors import TensorSpec


def test_figures_are_those_of_each_file_side_by_side(tmp_path: Path) -> None:
    whole = layers(tmp_path / "model.onnx")
    model = read(whole)
    quantize_rows(model, ())
    write(model, tmp_path / "int8.onnx")
    asked = [Asked(Case("rows", {"x": rows(n)}), Exported(whole).answers({"x": rows(n)})) for n in (1, 16)]
    files = {"fp32": whole, "int8": tmp_path / "int8.onnx"}
    fp32, int8 = figures(files, asked, [TensorSpec("y", "FP32", (WIDTH,))], limits("int8"))

    assert (fp32.precision, int8.precision) == ("fp32", "int8")
    assert (fp32.bytes, int8.bytes) == (bytes_of(whole), bytes_of(tmp_path / "int8.onnx"))
    assert fp32.cosine == pytest.approx(1.0, abs=1e-6)
    assert 0.99 < int8.cosine < fp32.cosine
    assert fp32.rows_per_s > 0


def test_a_model_of_more_layers_is_slower(tmp_path: Path) -> None:
    models = {str(count): Exported(layers(tmp_path / f"{count}.onnx", count), 1) for count in (2, 24)}
    rates = rows_per_s(models, {"x": rows(64)}, 64, seconds=0.2)
    assert rates["2"] > 2 * rates["24"]
