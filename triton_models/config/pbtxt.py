"""The text of `config.pbtxt`."""

from __future__ import annotations

import warnings

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from triton_models.errors import ConfigError, cut

LONGEST = 500


def to_pbtxt(config: ModelConfig) -> str:
    """The text of `config.pbtxt`."""
    text: str = text_format.MessageToString(config)
    return text


def from_pbtxt(text: str, where: str) -> ModelConfig:
    """Reads the text of a `config.pbtxt`; `where` names the file in errors. Raises ConfigError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # of an escape that is none, which Triton refuses
            return text_format.Parse(text, ModelConfig())
    # ValueError: what is no text in UTF-8
    except (text_format.ParseError, ValueError, RecursionError, DeprecationWarning) as error:
        shown = cut(str(error), LONGEST)  # it repeats the line, however long that is
        raise ConfigError(f"{where} is not a model configuration: {shown}") from error
