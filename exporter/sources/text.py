"""A text model that runs, with its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from exporter.arrays import Tensors
from exporter.convert import convert
from exporter.preprocess import TextInputs
from exporter.samples import Axes
from exporter.signature import specs_of, specs_seen
from exporter.sources.base import Case
from exporter.sources.module import RunningModule
from exporter.sources.tokenizer import write_tokenizer
from exporter.target import DEFAULT_TARGET, Target
from triton_models.card import TextPreparation
from triton_models.config.model import MODEL_FILE
from triton_models.tensors import TensorSpec

FEW_TOKENS = 9


@dataclass(frozen=True)
class TextSource:
    """A text model with its tokenizer."""

    label: str
    running: RunningModule
    texts: TextInputs
    labels: tuple[str, ...] = ()
    target: Target = DEFAULT_TARGET

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
        convert(traced, folder / MODEL_FILE, self.target)
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
