"""Tensors: a column of numbers or of lists of numbers goes to the model as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from ray_pipeline.rejection import Rejection, Rejections
from triton_models.errors import cut
from triton_models.tensors import TensorSpec


def prepare_tensor(values: pa.ChunkedArray, column: str, tensor: TensorSpec, rejections: Rejections) -> pa.Array:
    """The numbers of each row in the tensor's own type, flat: a list of as many as the shape holds.

    A list may be nested as the shape is, or flat. Integers become floats where the model wants floats, and narrower
    integers where they fit; floats never become integers. A row that is null, holds a null, has another shape or does
    not fit is null; `rejections` says why.
    """
    kind = pa.from_numpy_dtype(tensor.numpy) if tensor.dtype != "BYTES" else pa.binary()
    fast = _whole(values, tensor, kind) if not any(rejections) else None
    if fast is not None:
        return fast
    rows: list[Any] = [None] * len(rejections)
    given = _number_type(values.type)
    for row, value in enumerate(values.to_pylist()):
        if rejections[row] is None:
            try:
                rows[row] = _flat(value, tensor, given)
            except (ValueError, TypeError, OverflowError) as error:
                kind_of_error = "NullValue" if value is None else "WrongTensor"
                rejections[row] = Rejection(kind_of_error, f"column {column!r}: {error}")
    return pa.array(rows, pa.list_(kind))


def _whole(values: pa.ChunkedArray, tensor: TensorSpec, kind: pa.DataType) -> pa.Array | None:
    """All rows at once without a copy for each; None if they are not all of one good shape and the right type."""
    array = values.combine_chunks()
    fixed = tensor.is_fixed and not array.null_count
    if not (fixed and pa.types.is_fixed_size_list(array.type) and array.type.value_type == kind):
        return None
    numbers = array.flatten()
    size = math.prod(tensor.shape)
    if array.type.list_size != size or numbers.null_count:
        return None
    return pa.FixedSizeListArray.from_arrays(numbers, size).cast(pa.list_(kind))


def _number_type(kind: pa.DataType) -> np.dtype[Any] | None:
    """The numpy type of the numbers in a column, None where it holds none. Not left to numpy to guess from a row: it
    takes no numbers, and large unsigned ones beside small ones, for floats."""
    while pa.types.is_nested(kind) and kind.num_fields == 1:
        kind = kind.field(0).type
    is_number = pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return np.dtype(kind.to_pandas_dtype()) if is_number else None


def _flat(value: Any, tensor: TensorSpec, given: np.dtype[Any] | None) -> list[Any]:
    if value is None:
        raise ValueError(f"null is not {tensor}")
    if tensor.dtype == "BYTES":
        return _flat_bytes(value, tensor)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"the lists of this row differ in length; {tensor} is wanted") from error
    if array.size and (given is None or array.dtype == np.object_):
        raise ValueError(f"{_shown(value)} is not made of numbers only; {tensor} is wanted")
    _check_shape(array.shape, tensor)
    return _converted(np.asarray(value, given or tensor.numpy), tensor).reshape(-1).tolist()


def _flat_bytes(value: Any, tensor: TensorSpec) -> list[bytes]:
    values = np.asarray(value, dtype=np.object_)
    _check_shape(values.shape, tensor)
    flat: list[Any] = values.reshape(-1).tolist()
    if not all(isinstance(one, (str, bytes)) for one in flat):
        raise ValueError(f"{_shown(value)} is not made of strings only; {tensor} is wanted")
    return [one.encode() if isinstance(one, str) else one for one in flat]


def _check_shape(shape: tuple[int, ...], tensor: TensorSpec) -> None:
    """A row has the tensor's shape, or holds as many numbers in one flat list."""
    same_rank = len(shape) == len(tensor.shape)
    if same_rank and all(want in (-1, have) for want, have in zip(tensor.shape, shape, strict=True)):
        return
    inner = math.prod(size for size in tensor.shape if size != -1)
    count = math.prod(shape)
    if len(shape) == 1 and (count == inner if tensor.is_fixed else count % max(inner, 1) == 0):
        return
    raise ValueError(f"shape {list(shape)} does not fit {tensor}")


def _converted(array: np.ndarray[Any, Any], tensor: TensorSpec) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "f" and tensor.numpy.kind in "iub":
        raise ValueError(f"floats are not turned into {tensor.dtype}; {tensor} is wanted")
    with np.errstate(over="ignore"):
        converted = array.astype(tensor.numpy)
    fits = np.array_equal(converted, array) if tensor.numpy.kind in "iub" else not _became_infinite(array, converted)
    if not fits:
        raise ValueError(f"a number does not fit {tensor.dtype}; {tensor} is wanted")
    return converted


def _became_infinite(array: np.ndarray[Any, Any], converted: np.ndarray[Any, Any]) -> bool:
    return bool((np.isinf(converted) & np.isfinite(array)).any())


def _shown(value: Any) -> str:
    return cut(repr(value))
