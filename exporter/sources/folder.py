"""What a model folder says about itself, and what is refused before any of it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from exporter.errors import SourceError

Kind = Literal["classifier", "encoder"]

CLASSIFIES = "ForSequenceClassification"
ENCODES = ("Model", "ForMaskedLM", "ForPreTraining")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object out of a file; empty if there is no such file. Raises SourceError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SourceError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise SourceError(f"{path} does not hold a JSON object")
    return found


def refuse_remote_code(folder: Path) -> None:
    """Raises SourceError if loading the folder would run Python code that lies in it."""
    for name in ("config.json", "tokenizer_config.json"):
        if read_json(folder / name).get("auto_map"):
            raise SourceError(
                f"{folder.name} runs Python code of its own (auto_map in {name}); read that code, and if you trust it, "
                "add --trust-remote-code"
            )


def refuse_pickle(folder: Path) -> None:
    """Raises SourceError unless the weights are there as safetensors."""
    if any((folder / name).is_file() for name in WEIGHTS):
        return
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if not pickles:
        raise SourceError(f"{folder} has no {WEIGHTS[0]}, so there are no weights to export")
    raise SourceError(
        f"{folder} keeps its weights in {pickles[0]}, a pickle: opening it can run any code. If you trust it, write "
        "them again as safetensors, with transformers.AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)"
    )


def kind_of(folder: Path, config: Mapping[str, Any]) -> Kind:
    """What the architecture in `config.json` is for. Raises SourceError for one that is not exported."""
    architecture = next(iter(config.get("architectures") or []), "")
    if architecture.endswith(CLASSIFIES):
        return "classifier"
    if architecture.endswith(ENCODES):
        return "encoder"
    raise SourceError(
        f"{folder.name} is a {architecture or 'model whose config.json names no architecture'}; what can be exported "
        f"are sentence-transformers, ...{CLASSIFIES} and {', '.join('...' + name for name in ENCODES)}. For any other, "
        "write a factory that returns the module and its example inputs"
    )


def refuse_writers(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises SourceError for an encoder with a decoder: it answers with a text, not with one tensor."""
    if config.get("is_encoder_decoder"):
        raise SourceError(f"{folder.name} has a decoder, which writes texts; only models that read them are exported")
