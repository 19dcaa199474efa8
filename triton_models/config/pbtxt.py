"""The text of `config.pbtxt`."""

from __future__ import annotations

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.errors import ConfigError


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
