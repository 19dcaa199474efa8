"""`config.pbtxt`: written from what a model is, and read back for what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInput, ModelOutput

from triton_models.errors import ConfigError
from triton_models.tensors import TensorSpec, dtype_of

BACKEND = "onnxruntime"
MODEL_FILE = "model.onnx"


@dataclass(frozen=True)
class Tuning:
    """How a server runs a model.

    `devices` says where its instances are (`auto`, `cpu`, `cuda`, `tensorrt`), one group for each; `instances` is the
    count on each of them, and each holds a copy of the weights. `threads` is how many one instance computes with, None
    for all. `settings` are further fields of Triton's config as in `dynamic_batching.max_queue_delay_microseconds=100`.
    """

    devices: tuple[str, ...] = ("auto",)
    instances: int = 1
    threads: int | None = None
    settings: tuple[str, ...] = ()


DEFAULT_TUNING = Tuning()


def model_config(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    max_batch_size: int,
    *,
    instances: int = 1,
) -> ModelConfig:
    """A complete config for Triton's `onnxruntime` backend; nothing is left for the server to guess.

    `max_batch_size` 0 means that the model has no batch axis. `instances` is the count on each device; each holds a
    copy of the weights. Batching is dynamic without priorities, queue limits or a queue delay: any of them makes single
    requests wait up to half a second for the batcher to wake up.
    """
    config = ModelConfig(
        name=name,
        backend=BACKEND,
        default_model_filename=MODEL_FILE,
        max_batch_size=max_batch_size,
        input=[_fill(ModelInput(), tensor) for tensor in inputs],
        output=[_fill(ModelOutput(), tensor) for tensor in outputs],
    )
    config.instance_group.add(count=instances, kind=model_config_pb2.ModelInstanceGroup.KIND_AUTO)
    if max_batch_size > 0:
        config.dynamic_batching.SetInParent()
    return config


def to_pbtxt(config: ModelConfig) -> str:
    """The text of `config.pbtxt`."""
    text: str = text_format.MessageToString(config)
    return text


def from_pbtxt(text: str, where: str) -> ModelConfig:
    """Reads the text of a `config.pbtxt`; `where` names the file in errors. Raises ConfigError."""
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise ConfigError(f"{where} is not a model configuration: {error}") from error


def inputs_of(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """The inputs that a config declares. Raises ConfigError for a type that Rayton does not know."""
    return tuple(_read(tensor) for tensor in config.input)


def outputs_of(config: ModelConfig) -> tuple[TensorSpec, ...]:
    """The outputs that a config declares. Raises ConfigError for a type that Rayton does not know."""
    return tuple(_read(tensor) for tensor in config.output)


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


def _fill(message: Any, tensor: TensorSpec) -> Any:
    message.name = tensor.name
    message.data_type = model_config_pb2.DataType.Value(dtype_of(tensor.dtype).config)
    message.dims.extend(tensor.shape or (1,))
    if tensor.shape == ():
        # Triton wants at least one axis in a row: on the wire a scalar is [1], and the server takes the axis away.
        message.reshape.SetInParent()
    return message


def _read(message: Any) -> TensorSpec:
    dims = message.reshape.shape if message.HasField("reshape") else message.dims
    dtype = dtype_of(model_config_pb2.DataType.Name(message.data_type))
    return TensorSpec(message.name, dtype.triton, tuple(dims))
