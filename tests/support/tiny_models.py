"""Model folders as Hugging Face and sentence-transformers write them: real architectures, random weights, tiny."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from exporter.preprocess import SENTENCES

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 66,
}


def write_tokenizer(folder: Path, specials: tuple[str, str, str, str]) -> int:
    """A word tokenizer with `specials` (pad, unknown, begin, end) as ids 0 to 3; returns the size of its vocabulary."""
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    vocabulary = {word: index for index, word in enumerate((*specials, *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    begin, end = specials[2:]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}", special_tokens=[(begin, 2), (end, 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": specials[0]}))
    return len(vocabulary)


def tiny_folder(folder: Path, kind: str, **changes: Any) -> Path:
    """A folder with a model of this kind, such as `BertModel` or `RobertaForSequenceClassification`."""
    folder.mkdir(parents=True)
    vocabulary = write_tokenizer(folder, ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
    family = kind.removesuffix("Model").removesuffix("ForSequenceClassification")
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 66}
    config = getattr(transformers, f"{family}Config")(
        vocab_size=vocabulary, pad_token_id=0, **(sizes if family == "DistilBert" else SIZES), **changes
    )
    torch.manual_seed(0)
    getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


def add_sentence_modules(folder: Path, pooling: dict[str, Any], *, dense: int | None = None) -> Path:
    """Makes a model folder one of sentence-transformers: pooling, a dense layer of this width if asked, normalising."""
    kinds = ["Transformer", "Pooling", *(["Dense"] if dense is not None else []), "Normalize"]
    places = ["" if kind == "Transformer" else f"{index}_{kind}" for index, kind in enumerate(kinds)]
    listed = [
        {"idx": index, "name": str(index), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, place) in enumerate(zip(kinds, places, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    if dense is not None:
        inner = folder / "2_Dense"
        inner.mkdir()
        activation = "torch.nn.modules.activation.Tanh"
        config = {"in_features": 16, "out_features": dense, "bias": True, "activation_function": activation}
        (inner / "config.json").write_text(json.dumps(config))
        weights = {"linear.weight": torch.randn(dense, 16), "linear.bias": torch.randn(dense)}
        save_file(weights, inner / "model.safetensors")
    return folder
