"""A model that is ONNX already: checked, and copied as it is wherever it can be."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from exporter.arrays import Array, Tensors
from exporter.errors import ExportError, SourceError, first_line
from exporter.exported import Exported
from exporter.sources.base import Case
from exporter.sources.onnx_batch import fixed_rows, in_groups, prove_moving, with_moving_rows
from exporter.sources.onnx_run import run_in
from exporter.sources.onnx_target import fitted
from exporter.target import DEFAULT_TARGET, Target
from triton_models.card import TensorPreparation
from triton_models.config.model import MODEL_FILE
from triton_models.inside import is_inside
from triton_models.tensors import TensorSpec, dtype_of_onnx

LENGTHS = (8, 13, 32)
"""Tried on axes that move; a file does not say which lengths its model takes."""


@dataclass(frozen=True)
class OnnxFileSource:
    """An ONNX file whose graph was checked. Its own answers are the yardstick, whatever was changed in `model`.

    `model` is what is published, without the weights that lie in files of their own. `rows` is the number of rows that
    the file takes at once; None where any number is taken.
    """

    path: Path
    model: onnx.ModelProto
    is_changed: bool = False
    rows: int | None = None
    preparation = TensorPreparation()
    texts = None
    labels = ()

    @property
    def label(self) -> str:
        """The name of the file."""
        return self.path.name

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the graph takes."""
        constants = {one.name for one in self.model.graph.initializer}
        return tuple(_spec(value, "input") for value in self.model.graph.input if value.name not in constants)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the graph gives."""
        return tuple(_spec(value, "output") for value in self.model.graph.output)

    def cases(self, batches: Sequence[int]) -> list[Case]:
        """Random inputs at each batch size and, where axes move, at each length that the model takes."""
        lengths = self._lengths
        found = [Case(_label(lengths[0]), self._made(batch, lengths[0])) for batch in batches]
        few = batches[min(1, len(batches) - 1)]
        return found + [Case(_label(length), self._made(few, length)) for length in lengths[1:]]

    def answers(self, inputs: Tensors) -> Tensors:
        """What the file answers, as many rows at once as it takes."""
        if self.rows is None:
            return self._original.answers(inputs)
        return in_groups(self._original.answers, self.rows, inputs)

    def write(self, folder: Path) -> None:
        """Copies the file; weights that it keeps in other files go with it under the names that it calls them by."""
        if self.is_changed:
            onnx.save(self.model, folder / MODEL_FILE)
        else:
            shutil.copyfile(self.path, folder / MODEL_FILE)
        for name in sorted(_data_files(self.model)):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path.parent / name, target)

    def check_rows(self) -> None:
        """Raises SourceError where a batch axis that was made to move does not move."""
        if self.rows is None:
            return
        length = self._lengths[0]
        prove_moving(
            self.label,
            self.rows,
            made=lambda rows: self._made(rows, length),
            original=self._original.answers,
            load=lambda: run_in(self.path.parent, self.model),
        )

    @cached_property
    def _original(self) -> Exported:
        return Exported(self.path)

    @cached_property
    def _lengths(self) -> list[int | None]:
        if all(spec.is_fixed for spec in self.inputs):
            return [None]
        found, refusal = [], None
        for length in LENGTHS:
            try:
                self._original.answers(self._made(self.rows or 1, length))
            except ExportError as error:
                refusal = error
            else:
                found.append(length)
        if not found:
            tried = ", ".join(map(str, LENGTHS))
            raise SourceError(f"{self.label} takes none of the lengths {tried} on its moving axes: {refusal}")
        return [*found]

    def _made(self, batch: int, length: int | None) -> dict[str, Array]:
        random = np.random.default_rng((batch, length or 0))
        return {spec.name: _random(spec, batch, length, random) for spec in self.inputs}


def open_onnx(path: Path, target: Target = DEFAULT_TARGET) -> OnnxFileSource:
    """Opens and checks a file. Raises SourceError."""
    try:
        onnx.checker.check_model(path)
        original = onnx.load(path, load_external_data=False)
    except Exception as error:  # a checker error, a protobuf error or an operating system error
        raise SourceError(f"{path} is not a valid ONNX model: {first_line(error)}", str(error)) from error
    model = fitted(path.name, original, target)
    rows = fixed_rows(path.name, model)
    if rows is not None:
        model = with_moving_rows(model, rows)
    source = OnnxFileSource(path, model, model is not original, rows)
    if not source.inputs:
        raise SourceError(f"{path.name} has no input")
    _data_files(model)
    source.check_rows()
    return source


def _spec(value: onnx.ValueInfoProto, kind: str) -> TensorSpec:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise SourceError(f"{kind} {value.name} is no tensor, and requests carry nothing else")
    shape = [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim]
    if not shape or shape[0] != -1:
        what = f"the fixed length {shape[0]} on its first axis" if shape else "no axis"
        raise SourceError(
            f"{kind} {value.name} has {what}; the first axis must be the row and must move, or requests cannot be "
            "batched: export the model again with a dynamic first axis"
        )
    return TensorSpec(value.name, dtype_of_onnx(tensor.elem_type).triton, tuple(shape[1:]))


def _random(spec: TensorSpec, batch: int, length: int | None, random: np.random.Generator) -> Array:
    shape = (batch, *(size if size != -1 else length or 1 for size in spec.shape))
    if np.issubdtype(spec.numpy, np.floating):
        return random.standard_normal(shape).astype(spec.numpy)
    # Zero and one lie in every vocabulary and are what masks are made of.
    drawn: Array = random.integers(0, 2, shape).astype(np.str_ if spec.dtype == "BYTES" else spec.numpy)
    return drawn.astype(np.object_) if spec.dtype == "BYTES" else drawn


def _label(length: int | None) -> str:
    return "random" if length is None else f"random, length {length}"


def _data_files(model: onnx.ModelProto) -> set[str]:
    """The files beside the model that hold its weights; none may lie outside its folder."""
    found = set()
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            if not is_inside(place):
                raise SourceError(f"the weights of {tensor.name} lie in {place}, outside the folder of the model")
            found.add(place)
    return found


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """All of a model, wherever they are: constants, attributes of nodes, inner graphs, functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                yield from _tensors(one)
