"""A source under other names, and with some of its outputs only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.arrays import Tensors
from exporter.graph.names import rename_file
from exporter.preprocess import TextInputs
from exporter.sources.base import Case, Source
from triton_models.card import ImagePreparation, Preparation, TextPreparation
from triton_models.config.model import MODEL_FILE
from triton_models.tensors import TensorSpec


@dataclass(frozen=True)
class RenamedSource:
    """`inner`, whose inputs and outputs are called as `takes` and `gives` say; other outputs are cut off."""

    inner: Source
    takes: Mapping[str, str]
    gives: Mapping[str, str]

    @property
    def label(self) -> str:
        """As the inner source is called."""
        return self.inner.label

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inner source's, under their names here."""
        return tuple(replace(spec, name=self.takes[spec.name]) for spec in self.inner.inputs)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Those that are kept, under their names here."""
        kept = (spec for spec in self.inner.outputs if spec.name in self.gives)
        return tuple(replace(spec, name=self.gives[spec.name]) for spec in kept)

    @property
    def preparation(self) -> Preparation:
        """The inner source's, which names inputs."""
        found = self.inner.preparation
        if isinstance(found, TextPreparation):
            return self._text(found)
        if isinstance(found, ImagePreparation):
            return replace(found, input=self.takes[found.input])
        return found

    @property
    def texts(self) -> TextInputs | None:
        """What makes inputs out of texts, under their names here."""
        texts = self.inner.texts
        return None if texts is None else replace(texts, preparation=self._text(texts.preparation))

    @property
    def labels(self) -> tuple[str, ...]:
        """The inner source's."""
        return self.inner.labels

    def cases(self, batches: Sequence[int]) -> list[Case]:
        """The inner source's cases, under the names here."""
        return [
            replace(case, inputs={self.takes[name]: array for name, array in case.inputs.items()})
            for case in self.inner.cases(batches)
        ]

    def answers(self, inputs: Tensors) -> Tensors:
        """What the inner source answers in the outputs that are kept."""
        old = {new: name for name, new in self.takes.items()}
        answers = self.inner.answers({old[name]: array for name, array in inputs.items()})
        return {new: answers[name] for name, new in self.gives.items()}

    def write(self, folder: Path) -> None:
        """Writes the inner source, and changes its graph; its weights stay where they are."""
        self.inner.write(folder)
        rename_file(folder / MODEL_FILE, self.takes, self.gives)

    def _text(self, found: TextPreparation) -> TextPreparation:
        mask, types = (self.takes[name] if name is not None else None for name in (found.mask, found.types))
        return replace(found, ids=self.takes[found.ids], mask=mask, types=types)
