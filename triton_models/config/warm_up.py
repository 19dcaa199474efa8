"""Requests that a server runs for itself before it calls a model ready: the first ones are always slow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from triton_models.errors import ConfigError
from triton_models.tensors import TensorSpec, dtype_of

RowShapes = Mapping[str, tuple[int, ...]]
MIDDLING_ROWS = 8


def add_warm_up(
    config: ModelConfig, inputs: Sequence[TensorSpec], shapes: Sequence[RowShapes], *, largest_too: bool
) -> None:
    """Adds requests of zeros: of one row and of a middling batch for every mapping of input names to row shapes.

    `largest_too` adds the largest batch: TensorRT builds engines for the sizes between the smallest and the largest
    that it has seen, and would build anew in the middle of live traffic. Raises ConfigError for shapes that do not fit.
    """
    sizes = {1, MIDDLING_ROWS} if config.max_batch_size == 0 else {1, min(MIDDLING_ROWS, config.max_batch_size)}
    if largest_too and config.max_batch_size > 0:
        sizes.add(config.max_batch_size)
    for number, of_row in enumerate(shapes):
        for tensor in inputs:
            _check(tensor, of_row)
        for rows in sorted(sizes):
            _add(config, f"rows {rows}, shapes {number}", inputs, of_row, rows)


def _add(config: ModelConfig, name: str, inputs: Sequence[TensorSpec], of_row: RowShapes, rows: int) -> None:
    batches = config.max_batch_size > 0
    request = config.model_warmup.add(name=name, batch_size=rows if batches else 1, count=1)
    for tensor in inputs:
        shape = of_row[tensor.name] or (1,)
        zeros = request.inputs[tensor.name]
        zeros.data_type = DataType.Value(dtype_of(tensor.dtype).config)
        zeros.dims.extend(shape if batches else (rows, *shape))
        zeros.zero_data = True


def _check(tensor: TensorSpec, of_row: RowShapes) -> None:
    shape = of_row.get(tensor.name)
    fits = (
        shape is not None
        and len(shape) == len(tensor.shape)
        and all(size >= 0 and want in (-1, size) for want, size in zip(tensor.shape, shape, strict=True))
    )
    if not fits:
        raise ConfigError(f"a warm-up request gives {list(shape) if shape is not None else 'nothing'} for {tensor}")
