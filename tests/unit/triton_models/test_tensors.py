from __future__ import annotations

import numpy as np
import onnx
import pytest
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from triton_models.errors import ConfigError
from triton_models.tensors import DTYPES, Dtype, TensorSpec, dtype_of, dtype_of_numpy, dtype_of_onnx

LEFT_OUT = {"TYPE_INVALID", "TYPE_BF16"}

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.triton)


@each_dtype
def test_every_name_of_a_type_leads_back_to_it(dtype: Dtype) -> None:
    assert dtype_of(dtype.triton) is dtype
    assert dtype_of(dtype.config) is dtype
    assert dtype_of_onnx(dtype.onnx) is dtype
    assert dtype_of_numpy(dtype.numpy) is dtype


@each_dtype
def test_tritons_client_agrees_with_the_table(dtype: Dtype) -> None:
    assert np_to_triton_dtype(dtype.numpy) == dtype.triton
    assert np.dtype(triton_to_np_dtype(dtype.triton)) == dtype.numpy


@each_dtype
def test_onnx_agrees_with_the_table(dtype: Dtype) -> None:
    assert onnx.helper.tensor_dtype_to_np_dtype(dtype.onnx) == dtype.numpy


def test_every_type_of_tritons_config_is_known_or_left_out_on_purpose() -> None:
    assert {dtype.config for dtype in DTYPES} | LEFT_OUT == set(model_config_pb2.DataType.keys())


@pytest.mark.parametrize("unknown", [lambda: dtype_of("BF16"), lambda: dtype_of_onnx(16), lambda: dtype_of(""),
                                     lambda: dtype_of_numpy(np.dtype("datetime64[s]"))])  # fmt: skip
def test_a_type_that_is_not_in_the_table_is_refused_with_those_that_are(unknown: object) -> None:
    assert callable(unknown)
    with pytest.raises(ConfigError, match="not supported; use one of BOOL, UINT8"):
        unknown()


def test_a_tensor_of_an_unknown_type_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match="COMPLEX64"):
        TensorSpec("x", "COMPLEX64", (3,))


def test_a_tensor_shows_its_moving_axes() -> None:
    moving, fixed = TensorSpec("ids", "INT64", (-1, 3)), TensorSpec("score", "FP32", ())
    assert (str(moving), str(fixed)) == ("ids INT64[?, 3]", "score FP32[]")
    assert (moving.is_fixed, fixed.is_fixed) == (False, True)
