"""Small servers for tests, and requests to them."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import np_to_triton_dtype

from triton_models.server.options import ServerOptions
from triton_models.server.process import NodeServer
from triton_models.server.runtime import Runtime

Array = np.ndarray[Any, Any]


def start(runtime: Runtime | Path, repository: Path, **options: Any) -> NodeServer:
    """A server of a repository on free ports, with its log beside the repository."""
    log_file = repository.with_name(f"{repository.name}.log")
    return NodeServer.start(runtime, ServerOptions(repository=repository, log_file=log_file, **options))


def send(
    client: InferenceServerClient, model: str, outputs: tuple[str, ...] = (), **arrays: Array
) -> Future[InferResult]:
    """Sends a request; the future holds its result or its InferenceServerException."""
    future: Future[InferResult] = Future()

    def answered(result: InferResult | None, error: Exception | None) -> None:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    wanted = [InferRequestedOutput(name) for name in outputs] or None
    client.async_infer(model, [_input(name, array) for name, array in arrays.items()], answered, outputs=wanted)
    return future


def infer(
    client: InferenceServerClient, model: str, outputs: tuple[str, ...] = (), **arrays: Array
) -> dict[str, Array]:
    """The answer to one request, by output names."""
    result = send(client, model, outputs, **arrays).result(timeout=60)
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def _input(name: str, array: Array) -> InferInput:
    return InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)
