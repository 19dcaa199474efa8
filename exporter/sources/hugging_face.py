"""A model out of a Hugging Face or sentence-transformers folder.

A folder with `modules.json` is exported as sentence-transformers runs it, up to `sentence_embedding`. Another folder
gives `logits` if its architecture classifies sequences, and `last_hidden_state` otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from exporter.arrays import Tensors
from exporter.chatter import captured
from exporter.convert import convert
from exporter.errors import SourceError, first_line
from exporter.preprocess import TextInputs
from exporter.samples import Axes
from exporter.sentence import Classifier, Encoder, sentence_encoder
from exporter.signature import specs_of, specs_seen
from exporter.sources.base import Case
from exporter.sources.folder import Kind, kind_of, read_json, refuse_pickle, refuse_remote_code, refuse_writers
from exporter.sources.module import RunningModule
from exporter.sources.sentence_transformers import read_modules
from exporter.sources.tokenizer import load_tokenizer, max_tokens_of, preparation_of, write_tokenizer
from triton_models.card import TextPreparation
from triton_models.config import MODEL_FILE
from triton_models.tensors import TensorSpec

FEW_TOKENS = 9
FEWEST_TOKENS = 4
"""A beginning, an end, and a length that can move between them."""


@dataclass(frozen=True)
class TextSource:
    """A text model with its tokenizer."""

    label: str
    running: RunningModule
    texts: TextInputs
    labels: tuple[str, ...] = ()
    asks_rows_alone = False

    @property
    def preparation(self) -> TextPreparation:
        """How texts become inputs."""
        return self.texts.preparation

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Token tensors, INT64 [-1]."""
        return specs_of(self._examples, self._axes)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the model gives, seen from two runs."""
        asked = [self._examples, self.texts.random(3, self._few + 1)]
        return specs_seen(asked, [self.answers(inputs) for inputs in asked])

    def cases(self, batches: Sequence[int]) -> list[Case]:
        """Real sentences and random tokens at each batch size, and one row as long as the model reads."""
        found = []
        for batch in batches:
            found.append(Case("sentences", self.texts.sentences(batch)))
            found.append(Case("random tokens", self.texts.random(batch, self._few)))
        longest = self.preparation.max_tokens
        return [*found, Case(f"{longest} tokens", self.texts.random(1, longest))]

    def answers(self, inputs: Tensors) -> Tensors:
        """What the module answers."""
        return self.running.answers(inputs)

    def write(self, folder: Path) -> None:
        """Traces the module into `model.onnx` and puts the tokenizer beside it."""
        traced = self.running.traced(self._examples, self.inputs, self.outputs, self._axes)
        convert(traced, folder / MODEL_FILE)
        write_tokenizer(self.texts.tokenizer, folder)

    @property
    def _few(self) -> int:
        return min(FEW_TOKENS, self.preparation.max_tokens - 1)

    @cached_property
    def _examples(self) -> Tensors:
        return self.texts.random(2, self._few)

    @property
    def _axes(self) -> Axes:
        return {name: {1: "tokens"} for name in self.running.inputs}


def open_folder(folder: Path, max_tokens: int | None, trust_remote_code: bool) -> TextSource:
    """Loads a model folder without unpickling and, unless told to, without running code that lies in it.

    Raises SourceError.
    """
    modules = read_modules(folder)
    inner = modules.transformer if modules is not None else folder
    config = read_json(inner / "config.json")
    refuse_pickle(inner)
    refuse_writers(inner, config)
    if not trust_remote_code:
        refuse_remote_code(inner)
    kind = "encoder" if modules is not None else kind_of(folder, config)
    transformer = _loaded(inner, kind, trust_remote_code)
    limit = max_tokens_of(inner, _positions(transformer, config), max_tokens)
    if limit < FEWEST_TOKENS:
        raise SourceError(f"--max-tokens is {limit}; with fewer than {FEWEST_TOKENS} nothing is left of a text")
    tokenizer = load_tokenizer(inner, limit)
    names = _inputs(transformer)
    texts = TextInputs(
        tokenizer,
        preparation_of(tokenizer, inner, config, limit, names),
        getattr(transformer.config, "vocab_size", tokenizer.get_vocab_size()),
    )
    if modules is not None:
        module: nn.Module = sentence_encoder(transformer, modules)
    else:
        module = Classifier(transformer) if kind == "classifier" else Encoder(transformer)
    return TextSource(folder.resolve().name, RunningModule(module.eval().requires_grad_(False), names, True), texts)


def _loaded(folder: Path, kind: Kind, trust_remote_code: bool) -> nn.Module:
    """The transformer with all of its weights, in 32-bit floats."""
    loader = transformers.AutoModelForSequenceClassification if kind == "classifier" else transformers.AutoModel
    with captured() as heard:
        try:
            transformer, report = loader.from_pretrained(
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
    return transformer


def _inputs(transformer: nn.Module) -> tuple[str, ...]:
    """The token tensors that the model takes: types only where it tells them apart."""
    takes = inspect.signature(transformer.forward).parameters
    names = ["input_ids"]
    if "attention_mask" in takes:
        names.append("attention_mask")
    if "token_type_ids" in takes and getattr(transformer.config, "type_vocab_size", 0) > 1:
        names.append("token_type_ids")
    return tuple(names)


def _positions(transformer: nn.Module, config: Mapping[str, Any]) -> int | None:
    """How many positions the model has learned, or None if it counts them otherwise.

    Tables with a padding row (RoBERTa and its family) begin to count behind it.
    """
    for name, module in transformer.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (module.padding_idx + 1 if module.padding_idx is not None else 0)
    found = config.get("max_position_embeddings")
    return found if isinstance(found, int) else None
