"""Where the tensors of a request and of its answer lie in one region of shared memory. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ray_pipeline.transport.base import Request
from triton_models.config.tensors import outputs_of, takes_rows
from triton_models.tensors import TensorSpec

_ALIGNMENT = 64  # bytes of a cache line, and what vector instructions want


@dataclass(frozen=True)
class Span:
    """A piece of a region. Both numbers are in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class Layout:
    """The spans of the tensors that can lie in a region, by their names. `size` is that of the region, in bytes."""

    inputs: Mapping[str, Span]
    outputs: Mapping[str, Span]
    size: int


@dataclass(frozen=True)
class OutputSizes:
    """The bytes of each output whose size no answer can change: those of a row, or of a request that is not batched."""

    of_each: Mapping[str, int]
    batched: bool

    @classmethod
    def of(cls, config: ModelConfig) -> OutputSizes:
        """What a config tells: strings and moving axes have no size, and no promise of an unbatched model's rows."""
        batched = config.max_batch_size > 0
        sized = [] if takes_rows(config) and not batched else [one for one in outputs_of(config) if _is_sized(one)]
        return cls({tensor.name: _size(tensor) for tensor in sized}, batched)


def layout_of(request: Request, sizes: OutputSizes) -> Layout:
    """Puts inputs, then outputs, one behind the other; leaves out strings, empty tensors and outputs without a size."""
    inputs = {name: array.nbytes for name, array in request.inputs.items() if array.dtype != np.object_}
    rows = len(next(iter(request.inputs.values()))) if sizes.batched and request.inputs else 1
    outputs = {name: sizes.of_each[name] * rows for name in request.outputs if name in sizes.of_each}
    inputs_at, end = _spans(inputs, 0)
    outputs_at, end = _spans(outputs, end)
    return Layout(inputs_at, outputs_at, end)


def _spans(sizes: Mapping[str, int], start: int) -> tuple[dict[str, Span], int]:
    spans = {}
    for name, size in sizes.items():
        if size:
            spans[name] = Span(start, size)
            start += math.ceil(size / _ALIGNMENT) * _ALIGNMENT
    return spans, start


def _is_sized(tensor: TensorSpec) -> bool:
    return tensor.is_fixed and tensor.dtype != "BYTES"


def _size(tensor: TensorSpec) -> int:
    return math.prod(tensor.shape) * tensor.numpy.itemsize
