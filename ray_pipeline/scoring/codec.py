"""Arrow columns to the tensors of a batch, and the tensors of all batches back to Arrow columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ray_pipeline.errors import FatalError
from triton_models.tensors import TensorSpec

Array = np.ndarray[Any, Any]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RowLists:
    """A list column as two flat arrays: row r holds `values[offsets[r]:offsets[r + 1]]`."""

    values: Array
    offsets: npt.NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> RowLists:
        """Takes a list column without nulls; copies nothing where its numbers lie in one piece."""
        array = column.combine_chunks()
        offsets = array.offsets.to_numpy().astype(np.int64)
        return cls(array.values.to_numpy(zero_copy_only=False), offsets)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many values each row holds, shape [rows]."""
        return np.diff(self.offsets)

    def stacked(self, rows: Rows, fill: int = 0) -> Array:
        """The given rows as one array, shape [rows, longest]; shorter ones are filled up at their end."""
        lengths = self.lengths[rows]
        width = int(lengths.max(initial=0))
        array = np.full((len(rows), width), fill, self.values.dtype)
        for target, row in enumerate(rows):
            array[target, : lengths[target]] = self.values[self.offsets[row] : self.offsets[row + 1]]
        return array


def wire_shape(tensor: TensorSpec) -> tuple[int, ...]:
    """The shape of a row in a request: Triton wants at least one axis."""
    return tensor.shape or (1,)


def batch_of(tensor: TensorSpec, stacked: Array) -> Array:
    """Flat rows in the tensor's own shape and type, shape [rows, ...]; one moving axis takes what is left."""
    shape = wire_shape(tensor)
    if -1 in shape and stacked.shape[1] == 0:
        shape = tuple(0 if size == -1 else size for size in shape)
    return stacked.astype(tensor.numpy, copy=False).reshape(len(stacked), *shape)


class Answers:
    """Collects one output of a model over the batches of a chunk, in the order of its rows."""

    def __init__(self, tensor: TensorSpec, rows: int) -> None:
        self._tensor = tensor
        empty = b"" if tensor.dtype == "BYTES" else 0
        self._fixed = np.full((rows, *tensor.shape), empty, tensor.numpy) if tensor.is_fixed else None
        self._moving: list[Array | None] = [None] * rows

    def put(self, rows: Rows, values: Array) -> None:
        """Takes the answers of some rows, shape [rows, ...]. Raises FatalError if they are not what the card says."""
        self._check(values, len(rows))
        if self._fixed is not None:
            self._fixed[rows] = values.reshape(len(rows), *self._tensor.shape)
            return
        for row, value in zip(rows, values, strict=True):
            self._moving[row] = value

    def _check(self, values: Array, rows: int) -> None:
        shapes = [self._tensor.shape, wire_shape(self._tensor)]
        fits = any(
            len(shape) + 1 == values.ndim and all(map(_goes_with, (rows, *shape), values.shape)) for shape in shapes
        )
        if not fits or values.dtype != self._tensor.numpy:
            raise FatalError(
                f"output {self._tensor} of {rows} rows came back as {values.dtype} {list(values.shape)}: "
                "the server runs another model than the card describes"
            )

    def to_arrow(self, answered: npt.NDArray[np.bool_]) -> pa.Array:
        """A column with an answer in each row that was `answered`, null in the others."""
        if self._fixed is not None:
            return _nulls_where(_fixed_to_arrow(self._fixed), ~answered)
        rows = [None if value is None else value.tolist() for value in self._moving]
        return pa.array(rows, arrow_type(self._tensor))


def _goes_with(wanted: int, size: int) -> bool:
    return wanted in (-1, size)


def arrow_type(tensor: TensorSpec) -> pa.DataType:
    """How a column holds an output: numbers, or lists nested as its shape, of fixed size where the size is fixed."""
    kind = pa.binary() if tensor.dtype == "BYTES" else pa.from_numpy_dtype(tensor.numpy)
    for size in reversed(tensor.shape):
        kind = pa.list_(kind) if size == -1 else pa.list_(kind, size)
    return kind


def _fixed_to_arrow(values: Array) -> pa.Array:
    flat = values.reshape(-1)
    array = pa.array(list(flat), pa.binary()) if values.dtype == np.object_ else pa.array(flat)
    for size in reversed(values.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, size)
    return array


def _nulls_where(array: pa.Array, missing: npt.NDArray[np.bool_]) -> pa.Array:
    if not missing.any():
        return array
    positions = pa.array(np.arange(len(array)), mask=missing)
    return array.take(positions)
