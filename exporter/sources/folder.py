"""What a model folder says about itself, and what is refused before any of it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from exporter.errors import SourceError
from triton_models.inside import is_inside
from triton_models.typed_json import loads

Kind = Literal["encoder", "classifier", "tagger", "image encoder", "image classifier"]

TASKS: dict[str, Kind] = {
    "ForSequenceClassification": "classifier",
    "ForTokenClassification": "tagger",
    "ForImageClassification": "image classifier",
}
IMAGE_KINDS = ("image encoder", "image classifier")
ENCODES = ("Model", "ForMaskedLM", "ForPreTraining")
INDEX = "model.safetensors.index.json"
WEIGHTS = ("model.safetensors", INDEX)
PREPROCESSOR = "preprocessor_config.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object out of a file; empty if there is no such file. Raises SourceError."""
    try:
        found = loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SourceError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise SourceError(f"{path} does not hold a JSON object")
    return found


def refuse_remote_code(folder: Path) -> None:
    """Raises SourceError if loading the folder would run Python code that lies in it."""
    for name in ("config.json", "tokenizer_config.json", PREPROCESSOR):
        if read_json(folder / name).get("auto_map"):
            raise SourceError(
                f"{folder.name} runs Python code of its own (auto_map in {name}); read that code, and if you trust it, "
                "add --trust-remote-code"
            )


def refuse_pickle(folder: Path) -> None:
    """Raises SourceError unless the weights are there as safetensors, all of them in this folder."""
    shards = read_json(folder / INDEX).get("weight_map", {})
    for shard in shards.values() if isinstance(shards, dict) else [shards]:
        if not (isinstance(shard, str) and is_inside(shard) and shard.endswith(".safetensors")):
            raise SourceError(f"{folder / INDEX} names {shard!r}, which is no safetensors file of this folder")
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
    for ending, kind in TASKS.items():
        if architecture.endswith(ending):
            return kind
    if architecture.endswith(ENCODES):
        reads_images = (folder / PREPROCESSOR).is_file() and not (folder / "tokenizer.json").is_file()
        return "image encoder" if reads_images else "encoder"
    known = ", ".join(f"...{name}" for name in (*TASKS, *ENCODES))
    raise SourceError(
        f"{folder.name} is a {architecture or 'model whose config.json names no architecture'}; what can be exported "
        f"are sentence-transformers, cross-encoders and {known}. For any other, write a factory that returns the "
        "module and its example inputs"
    )


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes in `config.json`; none where they were generated, as in `LABEL_0`."""
    named = config.get("id2label")
    if not isinstance(named, dict):
        return ()
    try:
        by_number = {int(number): str(label) for number, label in named.items()}
    except ValueError:
        return ()
    found = tuple(by_number.get(number, "") for number in range(len(by_number)))
    generated = all(label == f"LABEL_{number}" for number, label in enumerate(found))
    return () if generated or "" in found else found


def refuse_writers(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises SourceError for an encoder with a decoder: it answers with a text, not with one tensor."""
    if config.get("is_encoder_decoder"):
        raise SourceError(f"{folder.name} has a decoder, which writes texts; only models that read them are exported")
