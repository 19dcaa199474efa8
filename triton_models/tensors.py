"""The one table of tensor types, and what a model says about one of its tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triton_models.errors import ConfigError


@dataclass(frozen=True)
class Dtype:
    """One element type under the names that each system gives it.

    `triton` is the name on the wire (`FP32`), `config` the one in `config.pbtxt` (`TYPE_FP32`),
    `onnx` the element type number of `onnx.TensorProto`, `numpy` the array type (`object` for strings of bytes).
    """

    triton: str
    config: str
    onnx: int
    numpy: np.dtype[np.generic]


def _dtype(triton: str, onnx: int, numpy: type[np.generic]) -> Dtype:
    config = "TYPE_STRING" if triton == "BYTES" else f"TYPE_{triton}"
    return Dtype(triton, config, onnx, np.dtype(numpy))


# BF16 is left out: numpy has no such type, and the wire carries it element by element.
DTYPES: tuple[Dtype, ...] = (
    _dtype("BOOL", 9, np.bool_),
    _dtype("UINT8", 2, np.uint8),
    _dtype("UINT16", 4, np.uint16),
    _dtype("UINT32", 12, np.uint32),
    _dtype("UINT64", 13, np.uint64),
    _dtype("INT8", 3, np.int8),
    _dtype("INT16", 5, np.int16),
    _dtype("INT32", 6, np.int32),
    _dtype("INT64", 7, np.int64),
    _dtype("FP16", 10, np.float16),
    _dtype("FP32", 1, np.float32),
    _dtype("FP64", 11, np.float64),
    _dtype("BYTES", 8, np.object_),
)

_BY_TRITON = {dtype.triton: dtype for dtype in DTYPES}
_BY_CONFIG = {dtype.config: dtype for dtype in DTYPES}
_BY_ONNX = {dtype.onnx: dtype for dtype in DTYPES}
_BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES}


def dtype_of(name: str) -> Dtype:
    """The type that Triton calls `name`, as in `FP32` or `TYPE_FP32`. Raises ConfigError."""
    return _found(_BY_TRITON.get(name) or _BY_CONFIG.get(name), name)


def dtype_of_onnx(element_type: int) -> Dtype:
    """The type with this number in `onnx.TensorProto.DataType`. Raises ConfigError."""
    return _found(_BY_ONNX.get(element_type), f"ONNX element type {element_type}")


def dtype_of_numpy(numpy: np.dtype[np.generic]) -> Dtype:
    """The type of a numpy array. Raises ConfigError for one that has no tensor type, such as a date."""
    return _found(_BY_NUMPY.get(numpy), f"numpy {numpy}")


def _found(dtype: Dtype | None, name: str) -> Dtype:
    if dtype is None:
        raise ConfigError(f"tensor type {name} is not supported; use one of {', '.join(_BY_TRITON)}")
    return dtype


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model: its name, its type in Triton's words, and the shape of one row.

    `shape` leaves the batch axis out; -1 is an axis whose length moves from request to request.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        dtype_of(self.dtype)

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy type of the elements."""
        return dtype_of(self.dtype).numpy

    @property
    def is_fixed(self) -> bool:
        """Whether every axis of a row has one length for ever."""
        return -1 not in self.shape

    def __str__(self) -> str:
        axes = ", ".join("?" if size == -1 else str(size) for size in self.shape)
        return f"{self.name} {self.dtype}[{axes}]"
