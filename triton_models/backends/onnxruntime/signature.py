"""Compares a model's configuration with its ONNX file, and completes a configuration that leaves tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

# ONNX Runtime's name of every element type that Triton and numpy share.
DATA_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}
# What the server itself takes for a model that can batch and does not say how much.
DEFAULT_MAX_BATCH_SIZE = 4
UNSUPPORTED_KEYS = ("sequence_batching", "batch_input", "batch_output")


class ConfigError(Exception):
    """A configuration that does not fit its model."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of an ONNX graph; `shape` has its batch axis, -1 stands for an axis that moves."""

    name: str
    data_type: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """What an ONNX graph takes and gives; `defaults` are inputs that may be left out."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    defaults: tuple[Tensor, ...] = ()

    @property
    def batches(self) -> bool:
        """Whether the first axis of every input and output moves."""
        return all(tensor.shape[:1] == (-1,) for tensor in self.inputs + self.outputs)


def signature_of(session: Any) -> Signature:
    """The signature of an `onnxruntime.InferenceSession`."""
    return Signature(
        inputs=tuple(map(tensor_of, session.get_inputs())),
        outputs=tuple(map(tensor_of, session.get_outputs())),
        defaults=tuple(map(tensor_of, session.get_overridable_initializers())),
    )


def tensor_of(argument: Any) -> Tensor:
    """A tensor of an `onnxruntime.NodeArg`, whose moving axes are names or None."""
    shape = tuple(size if isinstance(size, int) else -1 for size in argument.shape)
    return Tensor(argument.name, DATA_TYPES.get(argument.type, argument.type), shape)


def check(config: Config, signature: Signature) -> None:
    """Raises ConfigError where the configuration asks for what the model is not."""
    for key in UNSUPPORTED_KEYS:
        if config.get(key):
            raise ConfigError(f"{unable(config)}, {key} is not supported by this server")
    check_input_count(config, signature)
    for entry in config["input"]:
        known = signature.inputs + (signature.defaults if entry.get("optional") else ())
        check_tensor(config, entry, "input", known)
    for entry in config["output"]:
        check_tensor(config, entry, "output", signature.outputs)


def check_input_count(config: Config, signature: Signature) -> None:
    """Every input of the model must be configured: a missing one would fail each request."""
    names = {entry["name"] for entry in config["input"]}
    missing = [tensor.name for tensor in signature.inputs if tensor.name not in names]
    if missing:
        raise ConfigError(f"{unable(config)}, the model needs input '{missing[0]}', which the configuration lacks")


def check_tensor(config: Config, entry: Config, direction: str, known: Sequence[Tensor]) -> None:
    """Raises ConfigError unless one `input` or `output` entry fits the model's tensor of that name."""
    name, max_batch_size = entry["name"], config["max_batch_size"]
    tensor = next((tensor for tensor in known if tensor.name == name), None)
    if tensor is None:
        offered = ", ".join(f"'{tensor.name}'" for tensor in known)
        raise ConfigError(f"{unable(config)}, unexpected {direction} '{name}', the model has {offered}")
    if entry.get("allow_ragged_batch"):
        raise ConfigError(f"{unable(config)}, input '{name}': allow_ragged_batch is not supported by this server")
    if entry.get("optional") and max_batch_size > 0:
        raise ConfigError(f"{unable(config)}, optional input '{name}' is not possible with max_batch_size > 0")
    if entry["data_type"] != tensor.data_type or tensor.data_type not in DATA_TYPES.values():
        raise ConfigError(
            f"{unable(config)}, configuration expects datatype {entry['data_type']} for {direction} '{name}', "
            f"model provides {tensor.data_type}"
        )
    if max_batch_size > 0 and tensor.shape[:1] != (-1,):
        raise ConfigError(
            f"{unable(config)}, tensor '{name}': max_batch_size > 0 needs a model whose first dimension is -1, "
            f"but its shape is {written(tensor.shape)}"
        )
    check_dims(config, entry, direction, tensor)


def check_dims(config: Config, entry: Config, direction: str, tensor: Tensor) -> None:
    """Input dims may narrow the model's moving axes; output dims must be the model's own."""
    dims = tuple(entry["reshape"].get("shape", [])) if "reshape" in entry else tuple(entry["dims"])
    if not tensor.shape and all(size == 1 for size in dims):
        return  # a scalar travels as one element
    full = (-1, *dims) if config["max_batch_size"] > 0 else dims
    fits = len(full) == len(tensor.shape) and all(
        ours == theirs or (theirs == -1 and direction == "input")
        for ours, theirs in zip(full, tensor.shape, strict=True)
    )
    if not fits:
        raise ConfigError(
            f"{unable(config)}, tensor '{tensor.name}': the model expects {len(tensor.shape)} dimensions "
            f"(shape {written(tensor.shape)}) but the model configuration specifies {len(full)} dimensions "
            f"(shape {written(full)})"
        )


def completed(config: Config, signature: Signature) -> dict[str, Any]:
    """`max_batch_size`, `input` and `output` for a configuration that leaves inputs or outputs out."""
    size = int(config.get("max_batch_size", 0))
    if size > 0 and not signature.batches:
        raise ConfigError(f"{unable(config)}, max_batch_size is {size} but the model does not support batching")
    if signature.batches:
        size = size or DEFAULT_MAX_BATCH_SIZE
    return {
        "max_batch_size": size,
        "input": list(config.get("input", [])) or [entry_of(tensor, size) for tensor in signature.inputs],
        "output": list(config.get("output", [])) or [entry_of(tensor, size) for tensor in signature.outputs],
    }


def entry_of(tensor: Tensor, max_batch_size: int) -> dict[str, Any]:
    """The configuration entry of a model's tensor; a row without axes travels as one element."""
    dims = list(tensor.shape[1:] if max_batch_size > 0 else tensor.shape)
    entry = {"name": tensor.name, "data_type": tensor.data_type, "dims": dims or [1]}
    return entry if dims or max_batch_size == 0 else entry | {"reshape": {"shape": []}}


def unable(config: Config) -> str:
    """How every refusal begins."""
    return f"unable to load model '{config['name']}'"


def written(shape: Sequence[int]) -> str:
    """A shape as configurations write it."""
    return "[" + ",".join(map(str, shape)) + "]"
