"""A model of normalised pixels that runs: the inner half of an image model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from exporter.arrays import Tensors
from exporter.convert import convert
from exporter.signature import specs_of, specs_seen
from exporter.sources.base import Case
from exporter.sources.module import RunningModule
from exporter.target import DEFAULT_TARGET, Target
from triton_models.card import TensorPreparation
from triton_models.config.model import MODEL_FILE
from triton_models.tensors import TensorSpec


@dataclass(frozen=True)
class PixelSource:
    """A module with one input, FP32 pixels of the one `shape` [channels, height, width]."""

    label: str
    running: RunningModule
    shape: tuple[int, int, int]
    labels: tuple[str, ...] = ()
    target: Target = DEFAULT_TARGET
    preparation = TensorPreparation()
    texts = None

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The pixels."""
        return specs_of(self._made(2), {})

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the model gives, seen from two runs."""
        asked = [self._made(2), self._made(3)]
        return specs_seen(asked, [self.answers(inputs) for inputs in asked])

    def cases(self, batches: Sequence[int]) -> list[Case]:
        """Random pixels at each batch size."""
        return [Case("random", self._made(batch)) for batch in batches]

    def answers(self, inputs: Tensors) -> Tensors:
        """What the module answers."""
        return self.running.answers(inputs)

    def write(self, folder: Path) -> None:
        """Traces the module into `model.onnx`."""
        traced = self.running.traced(self._made(2), self.inputs, self.outputs, {})
        convert(traced, folder / MODEL_FILE, self.target)

    def _made(self, batch: int) -> Tensors:
        (name,) = self.running.inputs
        random = np.random.default_rng(batch)
        return {name: random.standard_normal((batch, *self.shape)).astype(np.float32)}
