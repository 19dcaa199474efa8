"""Tensors: a column of numbers or of lists of numbers goes to the model as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from triton_models.tensors import TensorSpec


def prepare_tensor(values: pa.ChunkedArray, column: str, tensor: TensorSpec, reasons: list[str | None]) -> pa.Array:
    """The numbers of each row in the tensor's own type, flat: a list of as many as the shape holds.

    A list may be nested as the shape is, or flat. Integers become floats where the model wants floats, and narrower
    integers where they fit; floats never become integers. A row that is null, holds a null, has another shape or does
    not fit is null; `reasons` says why.
    """
    kind = pa.from_numpy_dtype(tensor.numpy) if tensor.dtype != "BYTES" else pa.binary()
    fast = _whole(values, tensor, kind) if not any(reasons) else None
    if fast is not None:
        return fast
    rows: list[Any] = [None] * len(reasons)
    for row, value in enumerate(values.to_pylist()):
        if reasons[row] is None:
            try:
                rows[row] = _flat(value, tensor)
            except (ValueError, TypeError, OverflowError) as error:
                reasons[row] = f"column {column!r}: {error}"
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


def _flat(value: Any, tensor: TensorSpec) -> list[Any]:
    if value is None:
        raise ValueError(f"null is not a {tensor}")
    if tensor.dtype == "BYTES":
        return _flat_bytes(value, tensor)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"the lists of this row differ in length; {tensor} is wanted") from error
    if array.dtype == np.object_ or array.dtype.kind in "USMm":
        raise ValueError(f"{_shown(value)} is not made of numbers only; {tensor} is wanted")
    _check_shape(array.shape, tensor)
    return _converted(array, tensor).reshape(-1).tolist()


def _flat_bytes(value: Any, tensor: TensorSpec) -> list[bytes]:
    values = np.asarray(value, dtype=np.object_)
    _check_shape(values.shape, tensor)
    return [one.encode() if isinstance(one, str) else one for one in values.reshape(-1)]


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
    if tensor.numpy.kind in "iub" and not np.array_equal(converted, array):
        raise ValueError(f"a number does not fit {tensor.dtype}; {tensor} is wanted")
    return converted


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
