"""Arrow columns to the tensors of a batch, and the tensors of all batches back to Arrow columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
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
        array = in_one_piece(column)
        offsets = array.offsets.to_numpy().astype(np.int64)
        return cls(array.values.to_numpy(zero_copy_only=False), offsets)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many values each row holds, shape [rows]."""
        return np.diff(self.offsets)

    def stacked(self, rows: Rows, fill: int = 0) -> Array:
        """The given rows as one array, shape [rows, longest]; shorter ones are filled up at their end.

        Rows of one length that follow each other are not copied.
        """
        starts, lengths = self.offsets[rows], self.lengths[rows]
        width = int(lengths.max(initial=0))
        if (lengths == width).all():
            if follow_each_other(rows):
                return self.values[starts[0] : starts[0] + width * len(rows)].reshape(len(rows), width)
            return self.values.take(starts[:, None] + np.arange(width))
        stacked = np.full((len(rows), width), fill, self.values.dtype)
        in_row = np.arange(width) < lengths[:, None]
        stacked[in_row] = self.values[(starts[:, None] + np.arange(width))[in_row]]
        return stacked


def in_one_piece(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array. Arrow would copy even a single piece when it puts pieces together."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def follow_each_other(rows: Rows) -> bool:
    """Whether rows are neighbours in rising order: then a slice of a column holds them."""
    return len(rows) > 0 and bool((np.diff(rows) == 1).all())


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
        nothing = np.empty([0 if size == -1 else size for size in tensor.shape], tensor.numpy)
        self._moving = [nothing] * rows

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
            sizes = np.broadcast_to(np.array(self._tensor.shape, np.int64), (len(answered), len(self._tensor.shape)))
            return _nested(self._fixed.reshape(-1), sizes, self._tensor.shape, ~answered)
        sizes = np.array([value.shape for value in self._moving], np.int64).reshape(
            len(answered), len(self._tensor.shape)
        )
        flat = np.concatenate([value.reshape(-1) for value in self._moving]) if self._moving else np.empty(0)
        return _nested(flat.astype(self._tensor.numpy, copy=False), sizes, self._tensor.shape, ~answered)


def _goes_with(wanted: int, size: int) -> bool:
    return wanted in (-1, size)


def arrow_type(tensor: TensorSpec) -> pa.DataType:
    """How a column holds an output: numbers, or lists nested as its shape, of fixed size where the size is fixed."""
    kind = pa.binary() if tensor.dtype == "BYTES" else pa.from_numpy_dtype(tensor.numpy)
    for size in reversed(tensor.shape):
        kind = pa.list_(kind) if size == -1 else pa.list_(kind, size)
    return kind


def _nested(
    flat: Array, sizes: npt.NDArray[np.int64], shape: tuple[int, ...], missing: npt.NDArray[np.bool_]
) -> pa.Array:
    """Rows that lie one behind the other as lists of lists: `sizes` is the shape of each, shape [rows, axes].

    The innermost lists are made first. Numbers are not copied.
    """
    nulls = missing if missing.any() else None
    if flat.dtype == np.object_:
        array = pa.array(flat.tolist(), pa.binary(), mask=None if shape else nulls)
    else:
        array = pa.array(flat, mask=None if shape else nulls)
    for axis in reversed(range(len(shape))):
        mask = pa.array(nulls) if nulls is not None and axis == 0 else None
        if shape[axis] == -1:
            lengths = np.repeat(sizes[:, axis], sizes[:, :axis].prod(axis=1))
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            array = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), array, mask=mask)
        else:
            array = pa.FixedSizeListArray.from_arrays(array, shape[axis], mask=mask)
    return array
