"""Whether a server lives, what it has loaded, and whether its models answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig
from tritonclient.utils import InferenceServerException

from triton_models.server.errors import BrokenModelError
from triton_models.tensors import dtype_of

# What a probe fills its tensors with, and how long it makes axes that move: a model may refuse some of it with good
# reason (an image of one pixel), so one that answers any of them works.
PROBES = ((1, 1), (0, 1), (1, 32), (1, 224))
FRAMES = "\n\nAt:\n"
ASK_S = 30.0
"""How long a server may take to say what it has."""


@dataclass(frozen=True)
class LoadedModel:
    """One version of a model as the server reports it; `reason` is empty for one that is ready."""

    name: str
    version: str
    is_ready: bool
    reason: str


def server_name(client: InferenceServerClient) -> str | None:
    """The identity that a server was started with, or None while none answers."""
    try:
        return str(client.get_server_metadata(client_timeout=5.0).name)
    except InferenceServerException:
        return None


def loaded_models(client: InferenceServerClient) -> list[LoadedModel]:
    """Every model version that the server was asked to load, by name and number."""
    index = client.get_model_repository_index(client_timeout=ASK_S).models
    models = [
        LoadedModel(entry.name, entry.version, entry.state == "READY", readable_reason(entry.reason))
        for entry in index
        if entry.state and entry.reason != "unloaded"
    ]
    return sorted(models, key=lambda model: (model.name, int(model.version or 0)))


def current_models(models: Iterable[LoadedModel]) -> list[LoadedModel]:
    """The version of each model that answers a client who names none: the newest that is ready. Takes them in order."""
    return list({model.name: model for model in models if model.is_ready}.values())


def live_config(client: InferenceServerClient, model: LoadedModel) -> ModelConfig:
    """The config that a server runs a model version with. Raises InferenceServerException."""
    config: ModelConfig = client.get_model_config(model.name, model.version, client_timeout=ASK_S).config
    return config


def readable_reason(reason: str) -> str:
    """Triton's reason for a model that failed to load, without the stack frames that its Python backend appends."""
    message = reason.split(FRAMES)[0].strip()
    return message.removeprefix("Internal: ").removeprefix("ConfigError: ").removeprefix("LoadError: ")


def probe(client: InferenceServerClient, model: LoadedModel, timeout_s: float = 60.0) -> list[InferInput]:
    """Sends one real request of one row to a model version; gives the inputs of the request that was answered.

    Raises BrokenModelError if it answers none of several, or if another version answers.
    """
    config = live_config(client, model)
    refusals: list[str] = []
    for fill, length in PROBES:
        inputs = list(_probe_inputs(config, fill, length))
        try:
            answer = client.infer(model.name, inputs, model_version=model.version, client_timeout=timeout_s)
        except InferenceServerException as error:
            refusals.append(error.message())
            continue
        answered = answer.get_response().model_version
        if answered != model.version:
            raise BrokenModelError(f"{model.name} version {model.version} was asked, but version {answered} answers")
        return inputs
    raise BrokenModelError(f"{model.name} version {model.version} was loaded but answers no request: {refusals[0]}")


def _probe_inputs(config: ModelConfig, fill: int, length: int) -> Iterator[InferInput]:
    for tensor in config.input:
        if tensor.optional:
            continue
        dtype = dtype_of(DataType.Name(tensor.data_type))
        shape = [length if size == -1 else size for size in tensor.dims]
        if config.max_batch_size > 0:
            shape.insert(0, 1)
        value: Any = str(fill).encode() if dtype.triton == "BYTES" else fill
        array = np.full(shape, value, dtype.numpy)
        yield InferInput(tensor.name, shape, dtype.triton).set_data_from_numpy(array)
