"""A complete `config.pbtxt`, written from what a model is and how it is to be run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInput, ModelInstanceGroup, ModelOutput

from triton_models.config.settings import apply
from triton_models.config.tuning import DEFAULT_TUNING, Tuning
from triton_models.config.warm_up import RowShapes, add_warm_up
from triton_models.errors import ConfigError
from triton_models.tensors import TensorSpec, dtype_of

BACKEND = "onnxruntime"
MODEL_FILE = "model.onnx"
CACHE_FOLDER = "/tmp/rayton-tensorrt-"
"""Before a model's name: where its TensorRT engines and timings are kept on the machine of the server. One level below
a folder that is always there, as ONNX Runtime makes no more. What is lost is built again, which takes minutes."""
WORKSPACE_BYTES = 4 << 30
"""The most GPU memory that TensorRT may use for one operator; it takes what it needs."""

_KINDS = {
    "auto": ModelInstanceGroup.KIND_AUTO,
    "cpu": ModelInstanceGroup.KIND_CPU,
    "cuda": ModelInstanceGroup.KIND_GPU,
    "tensorrt": ModelInstanceGroup.KIND_GPU,
}
_TENSORRT_PRECISIONS = {"fp32": "FP32", "fp16": "FP16", "bf16": "BF16", "int8": "INT8"}


def model_config(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    max_batch_size: int,
    tuning: Tuning = DEFAULT_TUNING,
    *,
    warm_up: Sequence[RowShapes] = (),
    precision: str = "fp32",
) -> ModelConfig:
    """A complete config for Triton's `onnxruntime` backend; nothing is left for the server to guess.

    `max_batch_size` 0 means that requests are never put together: the first axis of every tensor is then the request's
    own rows. Batching is dynamic without priorities, queue limits or a queue delay: they make single requests wait.
    `warm_up` are shapes to run before the model is ready, none for none: the shape of one row of every input, without
    moving axes. `precision` is that of the graph (`fp32`, `fp16`, `bf16`, `int8`): TensorRT must be told.

    Raises ConfigError for settings that Triton does not know and for warm-up shapes that do not fit the inputs.
    """
    config = ModelConfig(
        name=name,
        backend=BACKEND,
        default_model_filename=MODEL_FILE,
        max_batch_size=max_batch_size,
        input=[_fill(ModelInput(), tensor, max_batch_size) for tensor in inputs],
        output=[_fill(ModelOutput(), tensor, max_batch_size) for tensor in outputs],
    )
    config.version_policy.latest.num_versions = 1
    if max_batch_size > 0:
        config.dynamic_batching.SetInParent()
    _add_instances(config, tuning)
    if "tensorrt" in tuning.devices:
        _add_tensorrt(config, precision)
    config.optimization.graph.level = 0  # everything; 2 would be nothing
    config.optimization.input_pinned_memory.enable = True
    config.optimization.output_pinned_memory.enable = True
    config.model_transaction_policy.decoupled = False
    config.response_cache.enable = False
    add_warm_up(config, inputs, warm_up, largest_too="tensorrt" in tuning.devices)
    apply(tuning.settings, config)
    if max_batch_size == 0 and config.HasField("dynamic_batching"):
        raise ConfigError("dynamic_batching cannot be set for a model whose requests are never put together")
    return config


def _fill(message: Any, tensor: TensorSpec, max_batch_size: int) -> Any:
    """Without a batch axis of Triton's own, the rows of a request are the first axis."""
    rows = () if max_batch_size > 0 else (-1,)
    message.name = tensor.name
    message.data_type = DataType.Value(dtype_of(tensor.dtype).config)
    message.dims.extend((*rows, *(tensor.shape or (1,))))
    if tensor.shape == ():
        # Triton wants at least one axis in a row: on the wire a scalar is [1], and the server takes the axis away.
        message.reshape.shape.extend(rows)
        message.reshape.SetInParent()
    return message


def _add_instances(config: ModelConfig, tuning: Tuning) -> None:
    for device in tuning.devices:
        config.instance_group.add(name=f"{config.name}_{device}", count=tuning.instances, kind=_KINDS[device])
    config.parameters["intra_op_thread_count"].string_value = str(tuning.threads or 0)
    # Operators run one after the other, so that there is nothing for further threads to do.
    config.parameters["inter_op_thread_count"].string_value = "1"
    config.parameters["execution_mode"].string_value = "0"


def _add_tensorrt(config: ModelConfig, precision: str) -> None:
    """Engines and timings are kept on the server's disk: building them takes minutes for each shape."""
    folder = f"{CACHE_FOLDER}{config.name}"
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    accelerator.parameters["precision_mode"] = _TENSORRT_PRECISIONS[precision]
    accelerator.parameters["max_workspace_size_bytes"] = str(WORKSPACE_BYTES)
    accelerator.parameters["trt_engine_cache_enable"] = "1"
    accelerator.parameters["trt_engine_cache_path"] = folder
    accelerator.parameters["trt_timing_cache_enable"] = "1"
    accelerator.parameters["trt_timing_cache_path"] = folder
