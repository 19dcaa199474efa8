from __future__ import annotations

from typing import Any

import pytest

from exporter.errors import ExportError
from exporter.spec import ExportSpec
from triton_models.errors import RepositoryError


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("max_batch_size", 0, "--max-batch-size is 0"),
        ("min_cosine", 1.5, "--min-cosine is 1.5"),
        ("precision", "fp8", "--precision is fp8; it is one of fp32"),
        ("max_tokens", 0, "--max-tokens is 0"),
        ("tolerance", 0.0, "--tolerance is 0"),
        ("tolerance", 2.0, "--tolerance is 2"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(option: str, value: Any, named: str) -> None:
    with pytest.raises(ExportError, match=named):
        ExportSpec("a.onnx", "a", "models", **{option: value})


def test_a_name_that_no_model_can_have_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(RepositoryError, match="'a/b' cannot be the name of a model"):
        ExportSpec("not-there.onnx", "a/b", "models")
