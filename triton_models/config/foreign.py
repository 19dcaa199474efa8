"""Configs that others have written: what in them would make a server read other files, or run code of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.config.model import BACKEND, CACHE_FOLDER
from triton_models.inside import is_inside

PLATFORM = "onnxruntime_onnx"
ENVIRONMENT = "EXECUTION_ENV_PATH"
"""Whoever may set it lets Triton's Python backend run a script of his choice."""
_PROGRAM = re.compile(r".*\.(so(\.\d+)*|py|pyc|dll)", re.DOTALL)


def strayed(config: ModelConfig) -> str | None:
    """The first field that names a file outside the model's folder, with its value; None if there is none."""
    named = {"default_model_filename": config.default_model_filename}
    named |= {f"cc_model_filenames.{key}": value for key, value in config.cc_model_filenames.items()}
    for warm_up in config.model_warmup:
        named |= {f"model_warmup.{name}": one.input_data_file for name, one in warm_up.inputs.items()}
    return next((f"{field} is {value!r}" for field, value in named.items() if value and not is_inside(value)), None)


def code_in(config: ModelConfig, files: Iterable[str] = ()) -> str | None:
    """The first thing in a config, or in the `files` of its version, that a server would run; None if there is none.

    A version that `rayton export` has made is a graph for ONNX Runtime, and nothing else. Checksums say nothing about
    it: who can write a file can write its card.
    """
    return next(_code(config, files), None)


def _code(config: ModelConfig, files: Iterable[str]) -> Iterator[str]:
    if (config.backend or BACKEND) != BACKEND or (config.platform or PLATFORM) != PLATFORM or config.runtime:
        yield f"the config has backend {config.backend!r}, platform {config.platform!r}, runtime {config.runtime!r}"
    if not config.backend and not config.platform:
        yield "the config names no backend"
    if config.model_operations.op_library_filename:
        yield f"the config loads operators from {config.model_operations.op_library_filename[0]!r}"
    cache = f"{CACHE_FOLDER}{config.name}"
    for name, value in _parameters(config):
        if name == ENVIRONMENT or ("/" in value and value != cache):
            yield f"the config sets {name} to {value!r}"
    for file in files:
        # Triton looks for the library of a backend beside the model first.
        if _PROGRAM.fullmatch(file):
            yield f"the version holds {file!r}"


def _parameters(config: ModelConfig) -> Iterator[tuple[str, str]]:
    for name, parameter in config.parameters.items():
        yield name, parameter.string_value
    accelerators = config.optimization.execution_accelerators
    for one in (*accelerators.gpu_execution_accelerator, *accelerators.cpu_execution_accelerator):
        yield from one.parameters.items()
