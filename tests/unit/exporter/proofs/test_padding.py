from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from exporter.exported import Exported
from exporter.limits import limits
from exporter.preprocess import TextInputs
from exporter.proofs.padding import prove_padding
from tests.support.job_models import WORDS, text_preparation, tokenizer
from tests.support.onnx_models import onnx_file
from triton_models.tensors import TensorSpec

FP32 = limits("fp32")
AVERAGES = """g (int64[N, L] ids, int64[N, L] mask) => (float[N] y) {{
    tokens = Constant<value_ints = [1]>()
    weights = Cast<to = 1>({weights})
    numbers = Cast<to = 1>(ids)
    weighted = Mul(numbers, weights)
    sum = ReduceSum<keepdims = 0>(weighted, tokens)
    count = ReduceSum<keepdims = 0>(weights, tokens)
    y = Div(sum, count)
}}"""
EVERY_TOKEN = AVERAGES.replace("weights = Cast", "same = Equal(mask, mask)  weights = Cast").format(weights="same")
MASKED = AVERAGES.format(weights="mask")


@pytest.mark.parametrize(("graph", "free"), [(MASKED, True), (EVERY_TOKEN, False)])
def test_a_mask_that_is_ignored_is_found(graph: str, free: bool, tmp_path: Path) -> None:
    tokens = Tokenizer.from_str(tokenizer())
    tokens.enable_truncation(64)
    texts = TextInputs(tokens, text_preparation(max_tokens=64), len(WORDS))
    exported = Exported(onnx_file(tmp_path / "averages.onnx", graph))

    preparation, (check,) = prove_padding(texts, [TensorSpec("y", "FP32", ())], exported, FP32)

    assert preparation.padding_free is free
    assert (check.name, check.output, check.strain <= 1) == ("padded further", "y", free)
