from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.errors import ExportError, SourceError
from exporter.sources.resolve import open_source
from exporter.spec import ExportSpec
from tests.support.onnx_models import DOUBLES, onnx_file

THREE_FORMS = r"sentence-transformers or Hugging Face.*package\.module:factory.*\.onnx"


@pytest.mark.parametrize("source", ["nowhere", "s3://models/minilm", "module:two words", "notes.txt"])
def test_what_is_no_source_is_answered_with_the_three_forms(source: str) -> None:
    with pytest.raises(SourceError, match=THREE_FORMS):
        open_source(ExportSpec(source, "a", "models"))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds neither config\.json nor modules\.json"):
        open_source(ExportSpec(str(tmp_path), "a", "models"))


def test_an_onnx_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no file"):
        open_source(ExportSpec(str(tmp_path / "model.onnx"), "a", "models"))


def test_max_tokens_is_refused_for_what_reads_no_texts(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--max-tokens and --pair are for models that read texts"):
        open_source(ExportSpec(str(tmp_path / "model.onnx"), "a", "models", max_tokens=9))


@pytest.mark.parametrize("options", [{"dynamic": ("x=1:length",)}, {"output_names": ("z=y",)}, {"outputs": ("z",)}])
def test_what_the_source_does_not_have_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    source = onnx_file(tmp_path / "small.onnx", DOUBLES)
    with pytest.raises(ExportError, match=r"--dynamic is for Python factories|is one of y|the outputs are y"):
        open_source(ExportSpec(str(source), "a", "models", **options))


def test_names_and_pixels_are_put_over_any_source(tmp_path: Path) -> None:
    graph = "g (float[N, 3, 4, 4] x) => (float[N, 3, 4, 4] y) { y = Neg(x) }"
    path = onnx_file(tmp_path / "small.onnx", graph)
    spec = ExportSpec(str(path), "a", "models", image="4", normalize="imagenet", output_names=("y=negative",))
    source = open_source(spec)

    assert [str(tensor) for tensor in source.inputs] == ["image UINT8[4, 4, 3]"]
    assert [tensor.name for tensor in source.outputs] == ["negative"]
