"""What every source offers, whatever it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from exporter.arrays import Tensors
from exporter.preprocess import TextInputs
from triton_models.card import Preparation
from triton_models.tensors import TensorSpec


@dataclass(frozen=True)
class Case:
    """Inputs on which the export must answer like its source; `label` says what they are, as in `real sentences`."""

    label: str
    inputs: Tensors

    @property
    def batch(self) -> int:
        """The number of rows."""
        return len(next(iter(self.inputs.values())))


class Source(Protocol):
    """A model that was opened: what it takes and gives, what it answers, and how it is written as a version."""

    @property
    def label(self) -> str:
        """What the card calls this source; a short text without the paths of a machine."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the model takes."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the model gives."""

    @property
    def preparation(self) -> Preparation:
        """How rows become inputs."""

    @property
    def texts(self) -> TextInputs | None:
        """Makes inputs out of texts, for a model that reads them."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the last axis of `logits`; empty where there are none."""

    def cases(self, batches: Sequence[int]) -> list[Case]:
        """Inputs at each of these batch sizes and, where axes move, at several lengths."""

    def answers(self, inputs: Tensors) -> Tensors:
        """What the source itself answers: the yardstick for the export."""

    def write(self, folder: Path) -> None:
        """Puts `model.onnx` and what belongs to it into the folder of a version. Raises ExportError."""
