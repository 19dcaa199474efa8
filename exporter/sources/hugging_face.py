"""A model out of a Hugging Face or sentence-transformers folder.

A folder with `modules.json` is exported as sentence-transformers runs it, up to `sentence_embedding`, or up to `scores`
if it is a cross-encoder. Another folder gives `logits` if its architecture classifies texts, tokens or images, and
`last_hidden_state` otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from exporter.errors import SourceError
from exporter.image.source import ImageOptions
from exporter.preprocess import TextInputs
from exporter.sources.base import Source
from exporter.sources.folder import (
    IMAGE_KINDS,
    Kind,
    kind_of,
    labels_of,
    read_json,
    refuse_pickle,
    refuse_remote_code,
    refuse_writers,
)
from exporter.sources.image_folder import open_images
from exporter.sources.module import RunningModule
from exporter.sources.sentence import Classifier, CrossEncoder, Encoder, activation_called, sentence_encoder
from exporter.sources.sentence_transformers import Modules, PairScorer, read_cross_encoder, read_modules
from exporter.sources.text import TextSource
from exporter.sources.tokenizer import check_marks, load_tokenizer, max_tokens_of, preparation_of
from exporter.sources.transformer import load_transformer, positions, token_inputs
from exporter.target import DEFAULT_TARGET, Target

FEWEST_TOKENS = 4
"""A beginning, an end, and a length that can move between them."""


@dataclass(frozen=True)
class _Found:
    """What a folder holds: the transformer's own folder, what it is for, and what sentence-transformers adds to it."""

    transformer: Path
    kind: Kind
    modules: Modules | None
    scorer: PairScorer | None


def open_folder(
    folder: Path,
    max_tokens: int | None,
    trust_remote_code: bool,
    target: Target = DEFAULT_TARGET,
    *,
    label: str | None = None,
    pair: bool = False,
    image: ImageOptions | None = None,
) -> Source:
    """Loads a model folder without unpickling and, unless told to, without running code that lies in it.

    `label` is what the card calls it, the name of the folder if None. `pair` says that a classifier reads two texts;
    cross-encoders say so themselves. `image` takes the place of the image processor in the folder.
    Raises SourceError.
    """
    found = _look_at(folder)
    config = read_json(found.transformer / "config.json")
    refuse_pickle(found.transformer)
    refuse_writers(found.transformer, config)
    if not trust_remote_code:
        refuse_remote_code(found.transformer)
    label = label or folder.resolve().name
    if found.kind in IMAGE_KINDS:
        if max_tokens is not None or pair:
            raise SourceError(f"{folder.name} reads images; --max-tokens and --pair are for models that read texts")
        return open_images(folder, found.kind, label, trust_remote_code, target, image)
    if image is not None:
        raise SourceError(f"{folder.name} reads texts; --image is for models that read pixels")
    if pair and found.kind != "classifier":
        raise SourceError(f"{folder.name} does not classify texts; --pair is for classifiers that read two at once")
    return _open_texts(found, label, max_tokens, pair or found.scorer is not None, trust_remote_code, target)


def _look_at(folder: Path) -> _Found:
    scorer = read_cross_encoder(folder)
    modules = read_modules(folder) if scorer is None else None
    if modules is not None:
        return _Found(modules.transformer, "encoder", modules, None)
    inner = scorer.transformer if scorer is not None else folder
    kind = kind_of(inner, read_json(inner / "config.json"))
    if scorer is not None and kind != "classifier":
        raise SourceError(f"{folder.name} is a cross-encoder that does not classify sequences; that is not exported")
    return _Found(inner, kind, None, scorer)


def _open_texts(
    found: _Found, label: str, max_tokens: int | None, pair: bool, trust_remote_code: bool, target: Target
) -> TextSource:
    folder = found.transformer
    config = read_json(folder / "config.json")
    transformer = load_transformer(folder, found.kind, trust_remote_code)
    limit = max_tokens_of(folder, positions(transformer, config), max_tokens)
    if limit < FEWEST_TOKENS:
        raise SourceError(f"--max-tokens is {limit}; with fewer than {FEWEST_TOKENS} nothing is left of a text")
    tokenizer = load_tokenizer(folder, limit)
    names = token_inputs(transformer)
    check_marks(tokenizer, folder, names, pair=pair)
    texts = TextInputs(
        tokenizer,
        preparation_of(tokenizer, folder, config, limit, names, pair=pair),
        getattr(transformer.config, "vocab_size", tokenizer.get_vocab_size()),
    )
    running = RunningModule(_whole(transformer, found).eval().requires_grad_(False), names, True)
    labels = labels_of(config) if found.kind != "encoder" else ()
    return TextSource(label, running, texts, labels, target)


def _whole(transformer: nn.Module, found: _Found) -> nn.Module:
    """The transformer with what stands behind it."""
    if found.modules is not None:
        return sentence_encoder(transformer, found.modules)
    if found.scorer is not None:
        return CrossEncoder(transformer, activation_called(found.scorer.activation, found.transformer))
    return Encoder(transformer) if found.kind == "encoder" else Classifier(transformer)
