"""TensorRT engines that are kept on disk find their own model again, and no other.

ONNX Runtime looks an engine up by the names in the graph, not by its weights. Two versions of one architecture have the
same names: the second would run with the engine, and so the weights, of the first.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx_ir as ir
from tritonclient.grpc.model_config_pb2 import ModelConfig

KEY_LENGTH = 12


def keeps_engines(config: ModelConfig) -> bool:
    """Whether a server with this config keeps TensorRT engines on its disk."""
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    switches = (one.parameters.get("trt_engine_cache_enable", "") for one in accelerators if one.name == "tensorrt")
    return any(switch.lower() in ("1", "true") for switch in switches)


def name_by_content(path: Path) -> None:
    """Puts a key of the model's content into the names of all inner values of an ONNX file, in place.

    Inputs and outputs keep their names. Weights in files of their own stay there, unread but for the key.
    """
    model = ir.load(path)
    key = _key(model, path)
    inner: list[ir.Value] = list(model.graph.initializers.values())
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        inner += [value for value in node.outputs if value.name and not value.is_graph_output()]
    for value in inner:
        if not value.is_graph_input() and not value.is_graph_output():
            value.name = f"{value.name}_{key}"
    ir.save(model, path)


def _key(model: ir.Model, path: Path) -> str:
    tensors = (value.const_value for value in model.graph.initializers.values())
    beside = {path.parent / tensor.location for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}
    digest = hashlib.sha256()
    for file in (path, *sorted(beside)):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:KEY_LENGTH]
