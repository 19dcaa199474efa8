from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import SourceError
from exporter.sources.resolve import open_source
from exporter.spec import ExportSpec

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
    with pytest.raises(SourceError, match="--max-tokens is for models that read texts"):
        open_source(ExportSpec(str(tmp_path / "model.onnx"), "a", "models", max_tokens=9))
