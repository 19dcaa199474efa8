"""A PyTorch module as a yardstick: it is run on arrays, and it is written as ONNX."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from exporter.arrays import Array, Tensors
from exporter.convert import Traced
from exporter.errors import SourceError
from exporter.samples import Axes
from triton_models.tensors import TensorSpec


def named_outputs(answer: Any) -> dict[str, torch.Tensor]:
    """The tensors that a module returned: by key or field where it has any, else `output` or `output_0`, `output_1`."""
    if isinstance(answer, torch.Tensor):
        return {"output": answer}
    if isinstance(answer, Mapping):
        found = dict(answer)
    elif dataclasses.is_dataclass(answer):
        found = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    elif isinstance(answer, tuple) and hasattr(answer, "_fields"):
        found = dict(zip(answer._fields, answer, strict=True))
    elif isinstance(answer, tuple | list):
        found = {f"output_{index}": value for index, value in enumerate(answer)}
    else:
        raise SourceError(
            f"the model returns {type(answer).__name__}; it must return tensors, or a dict or tuple of them"
        )
    found = {name: value for name, value in found.items() if value is not None}
    for name, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise SourceError(f"output {name} of the model is {type(value).__name__}; every output must be a tensor")
    if not found:
        raise SourceError("the model returns no tensor")
    return found


@dataclasses.dataclass(frozen=True)
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
