"""Which configurations fit a model: the rules of NVIDIA's backend, on graphs that need no file."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort
import pytest

from tests.support import served_models
from triton_models.backends.onnxruntime.signature import (
    DATA_TYPES,
    ConfigError,
    Signature,
    Tensor,
    check,
    completed,
    signature_of,
)
from triton_models.tensors import DTYPES

TEXT = Signature(
    inputs=(Tensor("ids", "TYPE_INT64", (-1, -1)), Tensor("mask", "TYPE_INT64", (-1, -1))),
    outputs=(Tensor("embedding", "TYPE_FP32", (-1, 384)),),
)
FIXED = Signature(inputs=(Tensor("x", "TYPE_FP32", (2, 3)),), outputs=(Tensor("y", "TYPE_FP32", (2, 3)),))
SCALAR = Signature(inputs=(Tensor("x", "TYPE_FP32", ()),), outputs=(Tensor("y", "TYPE_FP32", ()),))
SCORE = Signature(inputs=(Tensor("x", "TYPE_FP32", (-1, 3)),), outputs=(Tensor("y", "TYPE_FP32", (-1,)),))


def entry(name: str, data_type: str, *dims: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "dims": list(dims), **more}


def config(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]], max_batch_size: int) -> dict[str, Any]:
    return {"name": "m", "max_batch_size": max_batch_size, "input": inputs, "output": outputs}


def text_config(**changes: Any) -> dict[str, Any]:
    ids, mask = entry("ids", "TYPE_INT64", -1), entry("mask", "TYPE_INT64", -1)
    return config([ids, mask], [entry("embedding", "TYPE_FP32", 384)], 32) | changes


def test_the_types_are_those_of_the_package() -> None:
    assert set(DATA_TYPES.values()) == {dtype.config for dtype in DTYPES}


def test_a_signature_is_read_from_a_session() -> None:
    session = ort.InferenceSession(served_models.affine().SerializeToString(), providers=["CPUExecutionProvider"])
    assert signature_of(session) == Signature(
        inputs=(Tensor("x", "TYPE_FP32", (-1, 4)),),
        outputs=(Tensor("scaled", "TYPE_FP32", (-1, 4)), Tensor("total", "TYPE_FP32", (-1, 1))),
    )


@pytest.mark.parametrize(
    ("signature", "fitting"),
    [
        (TEXT, text_config()),
        (TEXT, text_config(input=[entry("ids", "TYPE_INT64", 64), entry("mask", "TYPE_INT64", 64)])),
        (TEXT, config([entry("ids", "TYPE_INT64", 1, 8), entry("mask", "TYPE_INT64", 1, 8)], [], 0)),
        (FIXED, config([entry("x", "TYPE_FP32", 2, 3)], [entry("y", "TYPE_FP32", 2, 3)], 0)),
        (SCALAR, config([entry("x", "TYPE_FP32", 1)], [entry("y", "TYPE_FP32", 1)], 0)),
        (SCORE, config([entry("x", "TYPE_FP32", 3)], [entry("y", "TYPE_FP32", 1, reshape={"shape": []})], 4)),
        (SCORE, config([entry("x", "TYPE_FP32", 3)], [entry("y", "TYPE_FP32", 1, reshape={})], 4)),
    ],
)
def test_a_fitting_config_is_accepted(signature: Signature, fitting: dict[str, Any]) -> None:
    check(fitting, signature)


@pytest.mark.parametrize(
    ("signature", "wrong", "reason"),
    [
        (TEXT, text_config(input=[entry("ids", "TYPE_INT64", -1)]), "the model needs input 'mask'"),
        (TEXT, text_config(output=[entry("vector", "TYPE_FP32", 384)]), "unexpected output 'vector'"),
        (TEXT, text_config(output=[entry("embedding", "TYPE_FP16", 384)]), "datatype TYPE_FP16 for output 'embedding'"),
        (
            TEXT,
            text_config(output=[entry("embedding", "TYPE_FP32", 385)]),
            r"specifies 2 dimensions \(shape \[-1,385\]",
        ),
        (TEXT, text_config(output=[entry("embedding", "TYPE_FP32", -1)]), r"\(shape \[-1,384\]\)"),
        (TEXT, text_config(output=[entry("embedding", "TYPE_FP32", 1, 384)]), "specifies 3 dimensions"),
        (TEXT, text_config(sequence_batching={"state": []}), "sequence_batching is not supported"),
        (
            TEXT,
            text_config(
                input=[entry("ids", "TYPE_INT64", -1, allow_ragged_batch=True), entry("mask", "TYPE_INT64", -1)]
            ),
            "allow_ragged_batch is not supported",
        ),
        (
            FIXED,
            config([entry("x", "TYPE_FP32", 3)], [entry("y", "TYPE_FP32", 3)], 2),
            r"max_batch_size > 0 needs a model whose first dimension is -1, but its shape is \[2,3\]",
        ),
        (SCALAR, config([entry("x", "TYPE_FP32", 2)], [entry("y", "TYPE_FP32", 1)], 0), "tensor 'x'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(signature: Signature, wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check(wrong, signature)


def test_an_optional_input_may_be_a_default_of_the_model() -> None:
    signature = Signature(FIXED.inputs, FIXED.outputs, (Tensor("scale", "TYPE_FP32", (1,)),))
    optional = config(
        [entry("x", "TYPE_FP32", 2, 3), entry("scale", "TYPE_FP32", 1, optional=True)],
        [entry("y", "TYPE_FP32", 2, 3)],
        0,
    )
    check(optional, signature)
    optional["input"][1]["optional"] = False
    with pytest.raises(ConfigError, match="unexpected input 'scale'"):
        check(optional, signature)


def test_a_config_without_tensors_is_completed_so_that_it_fits() -> None:
    for signature in (TEXT, FIXED, SCALAR, SCORE):
        bare = {"name": "m", "max_batch_size": 0}
        check(bare | completed(bare, signature), signature)
    assert completed({"name": "m", "max_batch_size": 16}, TEXT)["max_batch_size"] == 16
    assert completed({"name": "m", "max_batch_size": 0}, FIXED)["max_batch_size"] == 0


def test_a_batch_size_for_a_model_that_cannot_batch_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_batch_size is 8 but the model does not support batching"):
        completed({"name": "m", "max_batch_size": 8}, FIXED)
