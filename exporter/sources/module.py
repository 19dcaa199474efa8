"""A PyTorch module as a source: it is run on arrays as the yardstick, and it is written as ONNX."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporter.arrays import Array, Tensors
from exporter.convert import Traced, convert
from exporter.errors import SourceError
from exporter.graph.settle import BATCH
from exporter.samples import Axes, Ranges, lengths_of, other_lengths, resampled
from exporter.signature import specs_of, specs_seen
from exporter.sources.base import Case
from exporter.target import DEFAULT_TARGET, Target
from triton_models.card import TensorPreparation
from triton_models.config.model import MODEL_FILE
from triton_models.tensors import TensorSpec

ALIKE = 1e-3
"""Two answers to one input that are further apart than this were not meant to be the same."""


def named_outputs(answer: Any) -> dict[str, torch.Tensor]:
    """The tensors that a module returned: by key or field where it has any, else `output` or `output_0`, `output_1`.

    What lies inside another output is called after both: `hidden_0`, `hidden_1`. None is left out.
    """
    found: dict[str, torch.Tensor] = {}
    for name, value in _flat("", answer):
        if not isinstance(value, torch.Tensor):
            raise SourceError(
                f"{f'output {name} of the model is' if name else 'the model returns'} {type(value).__name__}; it must "
                "return tensors, or a dict, tuple or dataclass of them"
            )
        if name in found:
            raise SourceError(f"the model returns two outputs that are called {name}; rename one of them")
        found[name or "output"] = value
    if not found:
        raise SourceError("the model returns no tensor")
    return found


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if value is None:
        return
    inner = _parts(value)
    if inner is None:
        yield name, value
        return
    unnamed = "output" if isinstance(value, tuple | list) and not hasattr(value, "_fields") else ""
    for key, part in inner.items():
        yield from _flat("_".join(filter(None, (name or unnamed, str(key)))), part)


def _parts(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return dict(enumerate(value)) if isinstance(value, tuple | list) else None


@dataclass(frozen=True)
class RunningModule:
    """A module in inference mode with the names of its inputs; `keywords` says whether they are passed by name."""

    module: torch.nn.Module
    inputs: tuple[str, ...]
    keywords: bool

    def answers(self, inputs: Tensors) -> dict[str, Array]:
        """What the module answers. Raises SourceError, with the shapes, if it fails."""
        tensors = [_tensor(inputs[name]) for name in self.inputs]
        try:
            with torch.no_grad():
                answer = self.call(tensors)
        except SourceError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{name} {list(inputs[name].shape)}" for name in self.inputs)
            raise SourceError(f"the model itself fails on {shapes}: {type(error).__name__}: {error}") from error
        return {name: array_of(name, tensor) for name, tensor in answer.items()}

    def call(self, tensors: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """The module's outputs by name, for its inputs in order."""
        if self.keywords:
            return named_outputs(self.module(**dict(zip(self.inputs, tensors, strict=True))))
        return named_outputs(self.module(*tensors))

    def traced(
        self, examples: Tensors, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], axes: Axes
    ) -> Traced:
        """Ready for conversion; `examples` has at least two rows and a length of two on each moving axis."""
        tensors = tuple(_tensor(examples[name]) for name in self.inputs)
        moving = {name: dict(named) for name, named in axes.items()}
        return Traced(_Positional(self).eval(), tensors, inputs, outputs, moving)


class _Positional(torch.nn.Module):
    """Takes the tensors of a module in order and gives its outputs as a tuple, whatever the module itself returns."""

    def __init__(self, running: RunningModule) -> None:
        super().__init__()
        self.module = running.module
        self.running = running

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.running.call(tensors).values())


@dataclass(frozen=True)
class ModuleSource:
    """A module with an example of its inputs, checked.

    `axes` names the moving axes of inputs. `ranges` is how short and how long an axis can be, by its name, with the
    number of rows under `batch`, where the source says so.
    """

    label: str
    running: RunningModule
    examples: Tensors
    axes: Axes
    target: Target = DEFAULT_TARGET
    ranges: Ranges = field(default_factory=dict)
    preparation = TensorPreparation()
    texts = None
    labels: tuple[str, ...] = ()

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the model takes."""
        return specs_of(self.examples, self.axes)

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the model gives, seen from two runs. Raises SourceError."""
        self.answers(self.examples)
        asked = [self._made(rows, self._lengths) for rows in (2, 3)]
        try:
            given = [self.answers(inputs) for inputs in asked]
        except SourceError as error:
            raise SourceError(f"{self.label} answers its own example, but not any number of rows: {error}") from error
        self._refuse_what_cannot_be_compared(asked[0], given[0])
        longer = [self._made(3, lengths) for lengths in self._other_lengths]
        return specs_seen([*asked, *longer], [*given, *map(self.answers, longer)])

    def checked(self) -> ModuleSource:
        """Itself, if it answers its example and other numbers of rows. Raises SourceError."""
        _ = self.outputs  # seen by running the model
        return self

    def cases(self, batches: Sequence[int]) -> list[Case]:
        """The example's own lengths at each batch size, and every other length that the model takes at the second."""
        fewest, most = self.ranges.get(BATCH, (1, max(batches)))
        if fewest > 1:
            raise SourceError(
                f"{self.label} takes {fewest} rows or more; write it again with a batch axis that may be 1"
            )
        if most < max(batches):
            raise SourceError(f"{self.label} takes {most} rows at most; add --max-batch-size {most}")
        found = [Case("example lengths", self._made(batch, self._lengths)) for batch in batches]
        few = batches[min(1, len(batches) - 1)]
        for lengths in self._other_lengths:
            label = "at " + "x".join(map(str, lengths.values()))
            found.append(Case(label, self._made(few, lengths)))
        return found

    def answers(self, inputs: Tensors) -> Tensors:
        """What the module answers."""
        return self.running.answers(inputs)

    def write(self, folder: Path) -> None:
        """Traces the module into `model.onnx`."""
        examples = self._made(2, {name: max(length, 2) for name, length in self._lengths.items()})
        traced = self.running.traced(examples, self.inputs, self.outputs, self.axes)
        convert(traced, folder / MODEL_FILE, self.target)

    def _refuse_what_cannot_be_compared(self, inputs: Tensors, given: Tensors) -> None:
        shared = next((name for name in given if name in self.examples), None)
        if shared is not None:
            raise SourceError(
                f"{self.label}: an input and an output are called {shared}; an ONNX graph has one name for one tensor, "
                "so return it under another"
            )
        for name, again in self.answers(inputs).items():
            if again.dtype != np.bool_ and not np.allclose(given[name], again, rtol=ALIKE, atol=ALIKE, equal_nan=True):
                raise SourceError(
                    f"{self.label} answers the same input otherwise each time (output {name}), so nothing can be "
                    "compared with it; look for random numbers, such as dropout with training=True"
                )

    @property
    def _lengths(self) -> dict[str, int]:
        return lengths_of(self.examples, self.axes)

    @cached_property
    def _other_lengths(self) -> list[dict[str, int]]:
        """Lengths besides the example's that the model takes; at least one, or the axes do not move."""
        found, refusal = [], None
        for lengths in other_lengths(self._lengths, self.ranges):
            try:
                self.answers(self._made(2, lengths))
            except SourceError as error:
                refusal = error
            else:
                found.append(lengths)
        if self.axes and not found:
            names = ", ".join(self._lengths)
            raise SourceError(f"{names} cannot move: {refusal}. Take them out of the moving axes of {self.label}")
        return found

    def _made(self, batch: int, lengths: Mapping[str, int]) -> Tensors:
        seed = np.random.default_rng((batch, *lengths.values()))
        return resampled(self.examples, self.axes, batch, lengths, seed)


def _tensor(array: Array) -> torch.Tensor:
    """A copy: a module may write into its inputs, and the export is to be asked the same afterwards."""
    return torch.from_numpy(np.array(array))


def array_of(name: str, tensor: torch.Tensor) -> Array:
    """The values of a tensor. Raises SourceError for types that numpy lacks, such as bfloat16."""
    try:
        array: Array = tensor.detach().cpu().numpy()
    except TypeError as error:
        raise SourceError(f"{name} is {tensor.dtype}, which Triton cannot carry here; use .float()") from error
    return array
