"""A model out of a folder that Transformers wrote, with all of its weights and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from exporter.chatter import captured
from exporter.errors import SourceError, first_line
from exporter.sources.folder import Kind

LOADERS: dict[Kind, Any] = {
    "encoder": transformers.AutoModel,
    "classifier": transformers.AutoModelForSequenceClassification,
    "tagger": transformers.AutoModelForTokenClassification,
    "image encoder": transformers.AutoModel,
    "image classifier": transformers.AutoModelForImageClassification,
}


def load_transformer(folder: Path, kind: Kind, trust_remote_code: bool) -> nn.Module:
    """The model with all of its weights, in 32-bit floats, ready to answer. Raises SourceError."""
    with captured() as heard:
        try:
            transformer, report = LOADERS[kind].from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
        except Exception as error:
            raise SourceError(
                f"{folder} cannot be loaded: {first_line(error)}", heard.getvalue() + str(error)
            ) from error
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        some = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise SourceError(f"{folder} lacks {len(missing)} weights of the model ({some}); they would be random numbers")
    assert isinstance(transformer, nn.Module)
    return transformer.eval().requires_grad_(False)


def token_inputs(transformer: nn.Module) -> tuple[str, ...]:
    """The token tensors that the model takes: types only where it tells them apart."""
    takes = inspect.signature(transformer.forward).parameters
    names = ["input_ids"]
    if "attention_mask" in takes:
        names.append("attention_mask")
    if "token_type_ids" in takes and getattr(transformer.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    return tuple(names)


def positions(transformer: nn.Module, config: Mapping[str, Any]) -> int | None:
    """How many positions the model has learned, or None if it counts them otherwise.

    Tables with a padding row (RoBERTa and its family) begin to count behind it.
    """
    for name, module in transformer.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (module.padding_idx + 1 if module.padding_idx is not None else 0)
    found = config.get("max_position_embeddings")
    return found if isinstance(found, int) else None
