"""The tensors that a config declares, and what a client would notice if they were others.

A `TensorSpec` describes one row. With `max_batch_size` above 0 a config leaves the batch axis out as well. With 0 it
says every axis; where all tensors begin with one that moves, that axis is the rows of a request.
"""

from __future__ import annotations

from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from triton_models.tensors import TensorSpec, dtype_of


def inputs_of(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """The inputs that a config declares. Raises ConfigError for a type that Rayton does not know."""
    return tuple(_read(tensor, config) for tensor in config.input)


def outputs_of(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """The outputs that a config declares. Raises ConfigError for a type that Rayton does not know."""
    return tuple(_read(tensor, config) for tensor in config.output)


def takes_rows(config: ModelConfig) -> bool:
    """Whether the first axis of every tensor on the wire is the rows of a request."""
    if config.max_batch_size > 0:
        return True
    return all(_dims(tensor)[:1] == (-1,) for tensor in (*config.input, *config.output))


def differences(published: ModelConfig, wanted: ModelConfig) -> list[str]:
    """What a client would notice if `wanted` took the place of `published`; empty when it would notice nothing.

    Compares the inputs, the outputs and the largest batch. How a model is run (instances, batching, parameters) is the
    operator's to tune and is not compared.
    """
    found = []
    for kind, old, new in (
        ("input", inputs_of(published), inputs_of(wanted)),
        ("output", outputs_of(published), outputs_of(wanted)),
    ):
        found += [f"{kind} {tensor} is gone" for tensor in old if tensor not in new]
        found += [f"{kind} {tensor} is new" for tensor in new if tensor not in old]
    if published.max_batch_size != wanted.max_batch_size:
        found.append(f"max_batch_size is {wanted.max_batch_size} instead of {published.max_batch_size}")
    return found


def _read(message: Any, config: ModelConfig) -> TensorSpec:
    dims = _dims(message)
    if config.max_batch_size == 0 and takes_rows(config):
        dims = dims[1:]
    dtype = dtype_of(DataType.Name(message.data_type))
    return TensorSpec(message.name, dtype.triton, dims)


def _dims(message: Any) -> tuple[int, ...]:
    """The axes that the model itself sees."""
    return tuple(message.reshape.shape if message.HasField("reshape") else message.dims)
