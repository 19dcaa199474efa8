from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ray_pipeline.prepare.tensor import prepare_tensor
from ray_pipeline.rejection import Rejection, Rejections
from triton_models.tensors import DTYPES, Dtype, TensorSpec

NUMBERS = [dtype for dtype in DTYPES if dtype.triton != "BYTES"]
each_number = pytest.mark.parametrize("dtype", NUMBERS, ids=lambda dtype: dtype.triton)


def prepared(values: Any, tensor: TensorSpec, kind: pa.DataType | None = None) -> tuple[pa.Array, Rejections]:
    column = values if isinstance(values, pa.Array) else pa.array(values, kind)
    rejections: Rejections = [None] * len(column)
    return prepare_tensor(pa.chunked_array([column]), "x", tensor, rejections), rejections


def reason(value: Any, tensor: TensorSpec, kind: pa.DataType | None = None) -> str:
    """Why a row is rejected; the good row beside it must not be."""
    array, (rejection,) = prepared([value], tensor, kind)
    assert array.to_pylist() == [None]
    assert rejection is not None
    assert rejection.error == ("NullValue" if value is None else "WrongTensor")
    return rejection.message


@each_number
@given(st.data())
def test_rows_are_what_numpy_says_they_are(dtype: Dtype, data: st.DataObject) -> None:
    shape = data.draw(arrays.array_shapes(max_dims=3, max_side=4))
    rows = data.draw(arrays.arrays(dtype.numpy, (3, *shape)))
    nested = pa.array(rows.reshape(-1))
    for size in reversed(shape):
        nested = pa.FixedSizeListArray.from_arrays(nested, size)
    lists = nested.cast(_as_lists(nested.type))
    flat = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), int(np.prod(shape)))
    moving = (-1, *shape[1:])
    for column, tensor_shape in ((nested, shape), (lists, shape), (flat, shape), (lists, moving), (flat, moving)):
        array, rejections = prepared(column, TensorSpec("x", dtype.triton, tensor_shape))
        assert rejections == [None] * 3
        assert array.type == pa.list_(pa.from_numpy_dtype(dtype.numpy))
        np.testing.assert_array_equal(array.flatten().to_numpy(zero_copy_only=False), rows.reshape(-1))


def _as_lists(kind: pa.DataType) -> pa.DataType:
    return pa.list_(_as_lists(kind.value_type)) if pa.types.is_fixed_size_list(kind) else kind


@given(arrays.arrays(np.float32, (4, 3)))
def test_the_fast_way_gives_what_the_slow_one_gives(rows: Any) -> None:
    whole = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 3)
    tensor = TensorSpec("x", "FP32", (3,))
    fast, _ = prepared(whole, tensor)
    slow, _ = prepared(whole.cast(pa.list_(pa.float32())), tensor)
    assert fast.type == slow.type
    assert fast.offsets.equals(slow.offsets)
    np.testing.assert_array_equal(fast.flatten().to_numpy(), slow.flatten().to_numpy())


def test_the_fast_way_sees_rows_in_the_middle_of_a_column() -> None:
    whole = pa.FixedSizeListArray.from_arrays(pa.array(range(12), pa.int64()), 3).slice(1, 2)
    array, _ = prepared(whole, TensorSpec("x", "INT64", (3,)))
    assert array.to_pylist() == [[3, 4, 5], [6, 7, 8]]


def test_a_row_that_is_rejected_already_keeps_its_reason() -> None:
    earlier = Rejection("NotJson", "not JSON")
    rejections: Rejections = [earlier, None]
    column = pa.chunked_array([pa.array([[1.0], [2.0]])])
    assert prepare_tensor(column, "x", TensorSpec("x", "FP32", (1,)), rejections).to_pylist() == [None, [2.0]]
    assert rejections == [earlier, None]


def test_a_scalar_is_one_number() -> None:
    array, rejections = prepared([1, 2, None], TensorSpec("x", "FP32", ()))
    assert array.to_pylist() == [[1.0], [2.0], None]
    assert rejections == [None, None, Rejection("NullValue", "column 'x': null is not x FP32[]")]


def test_an_axis_that_moves_may_be_empty() -> None:
    tensor = TensorSpec("x", "INT64", (-1,))
    array, rejections = prepared([[], [1]], tensor, pa.list_(pa.int64()))
    assert (array.to_pylist(), rejections) == ([[], [1]], [None, None])
    array, rejections = prepared([[], []], tensor, pa.list_(pa.null()))
    assert (array.to_pylist(), rejections) == ([[], []], [None, None])


@pytest.mark.parametrize(
    ("value", "shape", "said"),
    [
        ([1.0, 2.0], (3,), "shape [2] does not fit x FP32[3]"),
        ([[1.0], [2.0]], (1, 2), "shape [2, 1] does not fit x FP32[1, 2]"),
        ([1.0, 2.0, 3.0], (-1, 2), "shape [3] does not fit x FP32[?, 2]"),
        (1.0, (1,), "shape [] does not fit x FP32[1]"),
        ([[1.0], [2.0, 3.0]], (-1,), "the lists of this row differ in length"),
        ([], (1,), "shape [0] does not fit"),
    ],
)
def test_another_shape_is_rejected(value: Any, shape: tuple[int, ...], said: str) -> None:
    assert said in reason(value, TensorSpec("x", "FP32", shape))


@pytest.mark.parametrize(
    ("value", "dtype", "said"),
    [
        ([300], "UINT8", "a number does not fit UINT8"),
        ([-1], "UINT64", "a number does not fit UINT64"),
        ([2], "BOOL", "a number does not fit BOOL"),
        ([1.0], "INT64", "floats are not turned into INT64"),
        ([1e300], "FP32", "a number does not fit FP32"),
        ([70000], "FP16", "a number does not fit FP16"),
        ([None], "FP32", "not made of numbers only"),
        (["1"], "FP32", "['1'] is not made of numbers only"),
        (["long " * 50], "FP32", "..."),
        (None, "FP32", "null is not x FP32[1]"),
        ([7], "BYTES", "[7] is not made of strings only"),
        ([None], "BYTES", "[None] is not made of strings only"),
    ],
)
def test_a_value_that_does_not_fit_is_rejected(value: Any, dtype: str, said: str) -> None:
    told = reason(value, TensorSpec("x", dtype, (1,)))
    assert told.startswith("column 'x': ")
    assert said in told
    assert len(told) < 140


def test_a_null_among_numbers_rejects_its_row_alone() -> None:
    column = pa.array([[1.0, None], [1.0, 2.0]], pa.list_(pa.float32(), 2))
    array, rejections = prepared(column, TensorSpec("x", "FP32", (2,)))
    assert array.to_pylist() == [None, [1.0, 2.0]]
    assert rejections[1] is None
    assert rejections[0] is not None
    assert rejections[0].error == "WrongTensor"
    assert "not made of numbers only" in rejections[0].message


def test_large_unsigned_numbers_beside_small_ones_stay_what_they_are() -> None:
    array, _ = prepared([[2**64 - 1, 1]], TensorSpec("x", "UINT64", (2,)), pa.list_(pa.uint64()))
    assert array.to_pylist() == [[2**64 - 1, 1]]


def test_numbers_go_to_wider_types_and_integers_to_floats() -> None:
    for kind, dtype in ((pa.int8(), "INT64"), (pa.int64(), "FP32"), (pa.float32(), "FP64"), (pa.bool_(), "FP32")):
        array, rejections = prepared(pa.array([[1, 0]]).cast(pa.list_(kind)), TensorSpec("x", dtype, (2,)))
        assert (array.to_pylist(), rejections) == ([[1, 0]], [None])


def test_infinities_that_are_in_the_column_are_kept() -> None:
    array, _ = prepared([[float("inf")]], TensorSpec("x", "FP16", (1,)))
    assert array.to_pylist() == [[float("inf")]]


@pytest.mark.parametrize("value", [["a", "ü"], [b"a", "ü".encode()]])
def test_strings_become_bytes(value: Any) -> None:
    array, _ = prepared([value], TensorSpec("x", "BYTES", (2,)))
    assert array.type == pa.list_(pa.binary())
    assert array.to_pylist() == [[b"a", "ü".encode()]]


def test_lists_of_strings_that_differ_in_length_are_rejected() -> None:
    assert "not made of strings only" in reason([["a"], ["b", "c"]], TensorSpec("x", "BYTES", (2,)))
