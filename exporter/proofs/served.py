"""The proof through a real server: the version is loaded by Triton in a repository of its own, and asked over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelVersionPolicy
from tritonclient.utils import InferenceServerException

from exporter.arrays import Array, Tensors
from exporter.errors import ExportError, ParityError
from exporter.proofs.parity import Answer
from triton_models.config.pbtxt import to_pbtxt
from triton_models.config.tensors import outputs_of
from triton_models.repository import layout
from triton_models.server.channel import open_client
from triton_models.server.errors import BrokenModelError
from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime
from triton_models.tensors import dtype_of_numpy

REQUEST_TIMEOUT_S = 300.0


@contextmanager
def served(version: Path, config: ModelConfig, runtime: Runtime) -> Iterator[Answer]:
    """A server that has loaded the files in `version` with `config`; gives what asks it.

    The scratch repository lies beside `version`, which it links. Raises ExportError if the server does not load the
    model, with the reason.
    """
    repository = version.parent / "served"
    (repository / config.name).mkdir(parents=True)
    (repository / layout.config_path(config.name)).write_text(to_pbtxt(_on_this_machine(config, runtime)))
    (repository / layout.version_path(config.name, 1)).symlink_to(version, target_is_directory=True)
    options = ServerOptions(repository=repository, log_file=version.parent / "served.log", probe=False)
    try:
        server = NodeServer.start(runtime, options)
    except BrokenModelError as error:
        reason = str(error).partition("; its log is")[0]  # which is gone in a moment
        raise ExportError(f"a real Triton does not take the model: {reason}. Nothing was published") from error
    with server, open_client(server.grpc_url, server.credentials) as client:
        scalars = {spec.name for spec in outputs_of(config) if spec.shape == ()}
        yield lambda inputs: _infer(client, config.name, inputs, scalars)


def _on_this_machine(config: ModelConfig, runtime: Runtime) -> ModelConfig:
    """The config as it will be published, but for what this machine's server has not: instances go to its processor."""
    here = ModelConfig()
    here.CopyFrom(config)
    here.version_policy.CopyFrom(ModelVersionPolicy(latest=ModelVersionPolicy.Latest(num_versions=1)))
    here.optimization.ClearField("execution_accelerators")  # TensorRT, which only NVIDIA's images have
    if not any(package.startswith("onnxruntime-gpu") for package in runtime.packages):
        for group in here.instance_group:
            group.kind = ModelInstanceGroup.KIND_CPU
            group.ClearField("gpus")
    return here


def _infer(client: InferenceServerClient, name: str, inputs: Tensors, scalars: set[str]) -> dict[str, Array]:
    """On the wire a row without axes, such as those of `scalars`, has one of length 1."""
    wired = {tensor: array if array.ndim > 1 else array[:, np.newaxis] for tensor, array in inputs.items()}
    tensors = [
        InferInput(tensor, array.shape, dtype_of_numpy(array.dtype).triton).set_data_from_numpy(array)
        for tensor, array in wired.items()
    ]
    try:
        result = client.infer(name, tensors, client_timeout=REQUEST_TIMEOUT_S)
    except InferenceServerException as error:
        shapes = ", ".join(f"{tensor} {list(array.shape)}" for tensor, array in inputs.items())
        raise ParityError(f"the served model fails on {shapes}: {error.message()}. Nothing was published") from error
    answers = {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
    return {tensor: array[:, 0] if tensor in scalars else array for tensor, array in answers.items()}
