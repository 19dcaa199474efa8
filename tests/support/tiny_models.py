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

SIZES: dict[str, Any] = {
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
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} $B:1 {end}:1",
        special_tokens=[(begin, 2), (end, 3)],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": specials[0]}))
    return len(vocabulary)


def tiny_folder(folder: Path, kind: str, **changes: Any) -> Path:
    """A folder with a model of texts of this kind, such as `BertModel` or `RobertaForSequenceClassification`."""
    folder.mkdir(parents=True)
    vocabulary = write_tokenizer(folder, ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))
    family = kind.removesuffix("Model").partition("For")[0]
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 66}
    config = getattr(transformers, f"{family}Config")(
        vocab_size=vocabulary, pad_token_id=0, **(sizes if family == "DistilBert" else SIZES), **changes
    )
    torch.manual_seed(0)
    getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


def tiny_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A folder as `CrossEncoder` of sentence-transformers writes it, whose scores are far from each other."""
    from sentence_transformers import CrossEncoder

    kind = "BertForSequenceClassification"
    plain = tiny_folder(folder.with_name(f"{folder.name}-plain"), kind, num_labels=labels, initializer_range=0.5)
    CrossEncoder(str(plain), local_files_only=True).save_pretrained(str(folder))
    return folder


IMAGE_MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ViTForImageClassification": (
        {**SIZES, "image_size": 32, "patch_size": 8},
        {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}},
    ),
    "ConvNextForImageClassification": (
        {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]},
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 64}, "crop_pct": 0.875},
    ),
    "ResNetForImageClassification": (
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 72},
            "crop_size": {"height": 64, "width": 48},
        },
    ),
}
"""Kind -> the sizes of its model, and the settings of its image processor: squeezed, cut to a share, cut to a size."""


def tiny_image_folder(folder: Path, kind: str, **changes: Any) -> Path:
    """A folder with one of `IMAGE_MODELS` and its image processor."""
    sizes, processor = IMAGE_MODELS[kind]
    config = getattr(transformers, f"{kind.partition('For')[0]}Config")(**sizes, **changes)
    torch.manual_seed(0)
    getattr(transformers, kind)(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
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
